"""Faults that are repeated, targets that several faults share, and lists of names."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.diagnostics import Code
from harness.engine.plan import PlannedFault, make_plan
from harness.engine.suite import run_suite
from harness.engine.targets import resolve
from harness.errors import ExperimentError
from harness.experiment.model import Target
from harness.faults.primitives import HostIdentity
from harness.gates.result import Verdict
from harness.history.read import History
from tests.engine.support import experiment_text, load
from tests.support.toy_system import system


def planned(tmp_path: Path, timeline: str, seed: int = 1, more: str = "") -> tuple[PlannedFault, ...]:
    (ready,) = load(tmp_path, experiment_text(timeline=timeline, arms="", load_for="80s") + more)
    return make_plan(ready, seed).faults


EVERY = "- {at: 10s, every: 20s, times: 3, for: 5s, fault: crash, target: {role: backend, pick: 1}}"


def test_a_fault_is_repeated_and_picks_anew_each_time(tmp_path: Path) -> None:
    faults = planned(tmp_path, EVERY)
    assert [(fault.name, fault.at_s, fault.until_s) for fault in faults] == [
        ("crash-1", 10, 15),
        ("crash-2", 30, 35),
        ("crash-3", 50, 55),
    ]
    drawn = {tuple(fault.target.nodes for fault in planned(tmp_path, EVERY, seed)) for seed in range(8)}
    assert any(len(set(nodes)) > 1 for nodes in drawn)
    # The first occurrence draws what a fault that happens once draws.
    once = planned(tmp_path, EVERY.replace("every: 20s, times: 3, ", ""))
    assert once[0].target == faults[0].target


def test_faults_on_a_named_target_act_on_the_same_hosts(tmp_path: Path) -> None:
    timeline = """
        - {at: 10s, for: 5s, fault: latency, delay: 90ms, target: victim}
        - {at: 10s, for: 5s, fault: loss, rate: 25%, target: victim}
        - {at: 20s, for: 5s, fault: crash, target: victim}
    """
    more = "targets: {victim: {role: backend, pick: 1}}\n"
    for seed in range(6):
        faults = planned(tmp_path, timeline, seed, more)
        assert len({fault.target.nodes for fault in faults}) == 1
        assert len(faults[0].target.nodes) == 1


def test_a_run_records_every_occurrence(tmp_path: Path) -> None:
    timeline = EVERY.replace("at: 10s, every: 20s, times: 3, for: 5s", "at: 6s, every: 5s, times: 2, for: 3s")
    loaded = load(tmp_path, experiment_text(timeline=timeline, arms="", load_for="18s"))
    (result,) = run_suite(loaded, seeds=[1], jobs=1, reports=tmp_path / "reports").results
    assert [fault.name for fault in result.faults] == ["crash-1", "crash-2"]
    assert result.verdict is not Verdict.ERROR
    with History(Path(result.run)) as history:
        assert [fault.at_s for fault in history.metadata.faults] == [6, 11]


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("every: 20s, ", "", Code.MISSING_KEY),
        ("times: 3, ", "", Code.MISSING_KEY),
        ("every: 20s", "every: 4s", Code.BAD_TIMING),
        ("times: 3", "times: 1", Code.OUT_OF_RANGE),
        ("times: 3", "times: 30", Code.BAD_TIMING),
        ("target: {role: backend, pick: 1}", "target: victm", Code.UNKNOWN_NAME),
        ("role: backend, pick: 1", "role: [backend, gatway]", Code.UNKNOWN_NAME),
        ("role: backend, pick: 1", "role: []", Code.WRONG_TYPE),
    ],
)
def test_what_does_not_go_together(tmp_path: Path, old: str, new: str, code: Code) -> None:
    assert old in EVERY
    with pytest.raises(ExperimentError) as raised:
        planned(tmp_path, EVERY.replace(old, new))
    (found,) = raised.value.diagnostics
    assert (found.code, found.line) == (code, 7)


def test_an_unused_target_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError) as raised:
        planned(tmp_path, EVERY, more="targets: {victim: {role: backend}}\n")
    assert [one.code for one in raised.value.diagnostics] == [Code.UNUSED]


def test_several_roles_zones_and_nodes() -> None:
    both = resolve(Target(role=("gateway", "backend"), zone="east"), system, 1, 0, nodes_only=True)
    assert both.nodes == ("gateway-east", "backend-east")
    named = resolve(Target(node=("backend-east", "backend-west")), system, 1, 0)
    assert named.nodes == ("backend-east", "backend-west")
    one = {resolve(Target(role=("gateway", "backend"), pick=1), system, seed, 0).nodes for seed in range(30)}
    assert len(one) == len(system.topology.role("gateway")) + len(system.topology.role("backend"))


def test_several_groups_of_clients() -> None:
    (workload,) = system.workloads
    first, second, *_ = workload.groups
    target = resolve(Target(group=(first, second)), system, 1, 0)
    zone = workload.zones[0]
    for group in workload.groups:
        peer = HostIdentity("someone", workload.role, zone, group)
        assert target.path.dst.matches(peer) == (group in (first, second))
