from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.gates.event import EventGate
from harness.gates.result import EXIT_CODES, Verdict, worst
from harness.gates.slo import SloGate
from harness.verdict.document import suite_document
from tests.verdict.support import (
    METADATA,
    experiment,
    history,
    invariant,
    steady,
    verdict_of,
    visits,
    without_fault,
)

GOOD = [*steady(), *visits(50, 400), *visits(90, 100)]


def test_a_breach_is_told_with_its_figures_and_its_fault(tmp_path: Path) -> None:
    bad = [*steady(), *visits(50, 100, 300)]
    result = verdict_of(experiment(SloGate(slo="success")), history(tmp_path, bad))
    assert result.verdict is Verdict.FAILED
    assert result.reason == (
        "success: 40.00% [36.35%, 43.74%] of 500 samples are good, less than 90.0% "
        "(faults: crash of backend-east, 40 s to 80 s)"
    )


def test_all_that_is_judged_is_in_the_result(tmp_path: Path) -> None:
    stated = experiment(
        SloGate(slo="success"),
        SloGate(slo="success-by-group", during="fault"),
        EventGate(event="shop.failover", within="15s"),
    )
    found = history(tmp_path, GOOD, [(41.0, "shop.failover")], invariant("latency_s < 0"))
    result = verdict_of(stated, found)
    assert [(gate.name, gate.kind) for gate in result.gates] == [
        ("success", "slo"),
        ("success-by-group during the fault[fast]", "slo"),
        ("shop.failover after fault", "event"),
        ("sane", "invariant"),
    ]
    assert [(gate.name, gate.kind, gate.samples) for gate in result.steady_state] == [
        ("success", "steady-state", 100),
        ("success-by-group[fast]", "steady-state", 100),
    ]
    assert result.verdict is Verdict.PASSED
    assert result.reason == "4 of 4 gates hold"
    assert result.faults[0].reason == "applied and undone; it affected 3 connections"


def test_clients_that_came_late_are_told(tmp_path: Path) -> None:
    starts = {"sessions": 365, "median_s": 0.001, "p99_s": 0.2, "max_s": 0.2549, "late": 12}
    stated = experiment(SloGate(slo="success"))
    late = history(tmp_path, GOOD, metadata=replace(METADATA, statistics={"load": {"starts": starts}}))
    assert verdict_of(stated, late).notes == (
        "12 of 365 clients began more than 0.1 s late, at most 0.255 s: the load generator fell behind",
    )
    in_time = {"load": {"starts": {**starts, "late": 0}}}
    assert (
        verdict_of(stated, history(tmp_path, GOOD, metadata=replace(METADATA, statistics=in_time))).notes
        == ()
    )


def test_one_breach_among_many_is_counted(tmp_path: Path) -> None:
    stated = experiment(SloGate(slo="success"), SloGate(slo="speed"), SloGate(slo="success-by-group"))
    bad = [*steady(), *visits(50, 100, 300)]
    result = verdict_of(stated, history(tmp_path, bad))
    assert result.reason.endswith("and 1 more is failed")


def test_steady_state_is_judged_once_for_gates_that_ask_the_same(tmp_path: Path) -> None:
    stated = experiment(
        SloGate(slo="success", during="fault"),
        SloGate(slo="success", during="after"),
        SloGate(slo="success", target="80%"),
    )
    result = verdict_of(stated, history(tmp_path, GOOD))
    assert [gate.name for gate in result.steady_state] == ["success", "success at least 80%"]


def test_an_experiment_without_faults_has_no_time_before(tmp_path: Path) -> None:
    result = verdict_of(
        experiment(SloGate(slo="success"), faults=0), history(tmp_path, GOOD, metadata=without_fault())
    )
    assert result.verdict is Verdict.PASSED
    assert result.steady_state == ()


def test_judged_twice_is_judged_the_same(tmp_path: Path) -> None:
    stated = experiment(SloGate(slo="success"), SloGate(slo="speed", where="ok"))
    found = history(tmp_path, GOOD)
    documents = [
        suite_document([result], result.verdict, EXIT_CODES[result.verdict])
        for result in (verdict_of(stated, found), verdict_of(stated, type(found)(found.directory)))
    ]
    assert documents[0] == documents[1]


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([Verdict.PASSED], Verdict.PASSED),
        ([Verdict.PASSED, Verdict.INCONCLUSIVE], Verdict.INCONCLUSIVE),
        ([Verdict.INCONCLUSIVE, Verdict.FAILED], Verdict.FAILED),
        ([Verdict.FAILED, Verdict.ERROR], Verdict.ERROR),
        ([Verdict.ERROR, Verdict.INTERRUPTED], Verdict.INTERRUPTED),
    ],
)
def test_worst(verdicts: list[Verdict], expected: Verdict) -> None:
    assert worst(verdicts) is worst(reversed(verdicts)) is expected
