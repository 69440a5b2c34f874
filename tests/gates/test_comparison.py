"""Comparing an SLI on two sets of rows: with before the fault outside its zone, and with another run."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.diagnostics import Code
from harness.gates.base import CheckContext, Objective
from harness.gates.blast_radius import BlastRadiusGate
from harness.gates.comparison import Side, slo_samples
from harness.gates.judge import judge_gates
from harness.gates.result import GateResult, Verdict
from harness.sli.comparison import Samples, compare
from tests.verdict.support import METADATA, SLOS, SYSTEM, Visit, history, visits

PASSED, FAILED, INCONCLUSIVE = Verdict.PASSED, Verdict.FAILED, Verdict.INCONCLUSIVE


def judged(directory: Path, rows: list[Visit], zones: tuple[str, ...] = ("slow",), **keys: Any) -> GateResult:
    gate = BlastRadiusGate.model_validate({"outside": "group", "margin": "5%"} | keys)
    found = history(directory, rows, metadata=replace(METADATA, fault_zones=zones))
    (result,) = judge_gates([gate], found, SLOS)
    return result


INSIDE = visits(10, 100, group="slow") + visits(50, 0, 100, group="slow", latency_s=2.0)
"""The group that stands for the fault's zone is lost."""


@pytest.mark.parametrize(
    ("during", "verdict"),
    [
        (visits(50, 200), PASSED),
        (visits(50, 180, 20), FAILED),
        (visits(50, 199, 1), PASSED),
        (visits(50, 190, 10), INCONCLUSIVE),
        (visits(50, 20), INCONCLUSIVE),  # too few clients
        ([], INCONCLUSIVE),
    ],
)
def test_the_blast_radius_of_a_ratio(tmp_path: Path, during: list[Visit], verdict: Verdict) -> None:
    result = judged(tmp_path, INSIDE + visits(10, 200) + during, blast_radius="success")
    assert result.verdict is verdict


def test_without_the_zone_the_loss_would_be_seen(tmp_path: Path) -> None:
    rows = INSIDE + visits(10, 200) + visits(50, 200)
    assert judged(tmp_path, rows, blast_radius="success").verdict is PASSED
    assert judged(tmp_path, rows, ("elsewhere",), blast_radius="success").verdict is FAILED
    assert judged(tmp_path, rows, (), blast_radius="success").verdict is INCONCLUSIVE
    by_hand = judged(tmp_path, rows, (), blast_radius="success", outside=None, where="\"group\" = 'fast'")
    assert by_hand.verdict is PASSED


@pytest.mark.parametrize(("latency_s", "verdict"), [(0.11, PASSED), (0.3, FAILED), (None, FAILED)])
def test_the_blast_radius_of_a_percentile(tmp_path: Path, latency_s: float | None, verdict: Verdict) -> None:
    """All of them are within the threshold of 500 ms."""
    rows = INSIDE + visits(10, 200) + visits(50, 200, latency_s=latency_s)
    assert judged(tmp_path, rows, blast_radius="speed", margin="50ms").verdict is verdict


def test_rows_are_clustered_as_everywhere(tmp_path: Path) -> None:
    """By the column that the SLO names: what a server records of many clients is not one client."""
    slo = SLOS["speed"].model_copy(update={"cluster": "group"})
    rows = visits(10, 20, group="a") + visits(10, 20, group="b")
    objective = Objective(slo, None, slo.threshold({}))
    found = history(tmp_path, rows)
    seed = found.environment.seed
    assert {*slo_samples(Side("now", found), objective).clients} == {(seed, "a"), (seed, "b")}


def two_runs(seed: int, clients: int, effect: float, *, paired: bool) -> tuple[Samples, Samples]:
    """Each client has its own chance to fail, ten times over; the second run adds `effect` to it."""
    rng = random.Random(seed)
    sides: list[list[tuple[float, str]]] = [[], []]
    for index in range(clients):
        chance = rng.choice((0.0, 0.4))
        for side, more in ((0, 0.0), (1, effect)):
            own = chance if paired else rng.choice((0.0, 0.4))
            name = f"{index}" if paired else f"{index}-{side}"
            sides[side] += [(float(rng.random() < own + more), name) for _ in range(10)]
    first, second = (Samples(tuple(v for v, _ in rows), tuple(c for _, c in rows)) for rows in sides)
    return first, second


@pytest.mark.parametrize("paired", [True, False])
def test_the_interval_covers_the_effect_under_clustering(paired: bool) -> None:
    """A one-sided bound of 95 % is wrong in 5 % of runs: at most 18 of 200 (the chance of more is 0.4 %)."""
    wrong = [0, 0]
    for seed in range(200):
        interval = compare(*two_runs(seed, 60, 0.1, paired=paired)).interval
        assert interval is not None
        wrong[0] += interval[0] > 0.1
        wrong[1] += interval[1] < 0.1
    assert max(wrong) <= 18


def test_the_same_clients_tell_more() -> None:
    paired, unpaired = (compare(*two_runs(1, 200, 0.05, paired=paired)).interval for paired in (True, False))
    assert paired is not None
    assert unpaired is not None
    assert paired[1] - paired[0] < 0.7 * (unpaired[1] - unpaired[0])


def test_no_failure_at_all_is_no_certainty() -> None:
    none = Samples((0.0,) * 100, tuple(range(100)))
    interval = compare(none, none).interval
    assert interval == pytest.approx((-0.0295, 0.0295), abs=0.0005)


@pytest.mark.parametrize(
    ("keys", "code", "path"),
    [
        ({"margin": "5ms"}, Code.BAD_UNIT, ("margin",)),
        ({"margin": "0%"}, Code.OUT_OF_RANGE, ("margin",)),
        ({"margin": "five"}, Code.BAD_VALUE, ("margin",)),
        ({"outside": "zone"}, Code.UNKNOWN_NAME, ("outside",)),
        ({"outside": None}, Code.MISSING_KEY, ()),
    ],
)
def test_what_does_not_fit_is_reported(keys: dict[str, Any], code: Code, path: tuple[str, ...]) -> None:
    gate = BlastRadiusGate.model_validate(
        {"blast_radius": "success", "outside": "group", "margin": "5%"} | keys
    )
    (found,) = gate.check(CheckContext(SYSTEM, SLOS, 80.0, 120.0, 40.0))
    assert (found.code, found.path) == (code, path)
