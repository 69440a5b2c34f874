"""An order that is lost is in no table: only two tables together show it, in a file or as an invariant."""

from __future__ import annotations

from pathlib import Path

from harness.engine.read import read_experiment
from harness.engine.suite import run
from harness.gates.result import Verdict

EXPERIMENT = """\
experiment: worker-crash
title: No accepted order is lost when the worker dies
system: tests.support.orders_system:system
load:
  shoppers: {arrive: 3/s, for: 20s, mix: all}
timeline:
  - {at: 8s, for: 4s, fault: crash, target: {role: worker}}
drain: 10s
"""
GATE = """\
gates:
  - every: {table: accepted, key: order_id}
    in: {table: done, key: order_id}
    within: 15s
"""


def test_a_lost_order_is_seen(tmp_path: Path) -> None:
    """The experiment has no gate: the invariant of the system is enough."""
    file = tmp_path / "orders.chaos.yaml"
    file.write_text(EXPERIMENT, encoding="utf-8")
    ready = read_experiment(file)
    safe = run(ready, seed=1, reports=tmp_path / "safe")
    assert [(gate.kind, gate.verdict, gate.value) for gate in safe.gates] == [
        ("invariant", Verdict.PASSED, 0)
    ]
    lost = run(ready, seed=1, reports=tmp_path / "lost", without=["worker.journal"])
    assert [(gate.kind, gate.verdict, gate.value) for gate in lost.gates] == [
        ("invariant", Verdict.FAILED, 1)
    ]
    assert lost.verdict is Verdict.FAILED


def test_the_same_claim_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "orders.chaos.yaml"
    file.write_text(EXPERIMENT + GATE, encoding="utf-8")
    lost = run(read_experiment(file), seed=1, reports=tmp_path / "lost", without=["worker.journal"])
    assert [(gate.kind, gate.value) for gate in lost.gates] == [("every", 1), ("invariant", 1)]
