"""`compare`: a gate that needs the same run without faults gets it, paired by client."""

from __future__ import annotations

from pathlib import Path

from harness.engine.judge import judge_directory
from harness.engine.plan import make_plan
from harness.engine.suite import run
from harness.gates.result import Verdict
from harness.verdict.recorded import RecordedRun
from tests.engine.support import GATES, experiment_text, load

SLOW = "- {at: 6s, for: 10s, fault: latency, delay: 100ms, target: {role: backend}}"


COMPARED = """
- {compare: speed, margin: 50ms, during: fault, name: tight}
- {compare: speed, margin: 2s, during: fault, name: wide}
- {compare: success, margin: 5%, name: share}
"""


def test_a_slower_run_is_seen_although_the_slo_holds(tmp_path: Path) -> None:
    text = experiment_text(timeline=SLOW, gates=GATES + COMPARED, arms="")
    (ready,) = load(tmp_path, text)
    result = run(ready, seed=1, reports=tmp_path / "reports")
    verdicts = {one.name: one.verdict for one in result.gates}
    assert verdicts["success"] is verdicts["speed"] is Verdict.PASSED
    assert verdicts["tight"] is result.verdict is Verdict.FAILED
    assert verdicts["wide"] is verdicts["share"] is Verdict.PASSED
    with RecordedRun(result.run) as recorded:
        assert recorded.arms == ()
        assert recorded.control is not None
        assert recorded.control.metadata.faults == ()
    assert judge_directory(result.run) == result


def test_an_experiment_without_such_a_gate_needs_no_control_run(tmp_path: Path) -> None:
    (ready,) = load(tmp_path, experiment_text())
    assert [arm.name for arm in make_plan(ready, 1).arms] == [
        "main",
        "without gateway.retry, gateway.fallback",
    ]
