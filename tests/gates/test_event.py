"""Event gates: chance is excluded, over all calm time, and an event answers one fault."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.diagnostics import Code
from harness.gates.base import CheckContext
from harness.gates.event import EventGate
from harness.gates.judge import judge_gates
from harness.gates.result import GateResult, Verdict
from harness.history.metadata import FaultRecord
from harness.history.read import History
from harness.history.write import write_history
from harness.runtime.contract import Recorded
from harness.sli.statistics import chance_of_events, chance_of_moment
from harness.system import Event
from tests.history.support import environment
from tests.verdict.support import CRASH, METADATA, SLOS, SYSTEM, visits

GATE = EventGate(event="shop.failover", within="5s")
type Emitted = tuple[float, str, dict[str, Any]]


def history(directory: Path, events: list[Emitted], *faults: FaultRecord, end_s: float = 100.0) -> History:
    """Events by moment, node and fields; the run ends with a visit."""
    records = [Recorded(end_s, "shopper", visits(end_s, 1)[0])]
    records += [Recorded(t_s, node, Event("shop.failover", fields)) for t_s, node, fields in events]
    run = directory / f"run-{len(list(directory.iterdir()))}"
    write_history(
        run,
        system=SYSTEM,
        records=records,
        metadata=replace(METADATA, faults=faults or (CRASH,)),
        experiment_yaml="",
        slos_yaml="",
        environment=environment(arm="main"),
    )
    return History(run)


def judged(found: History, gate: EventGate = GATE) -> GateResult:
    (result,) = judge_gates([gate], found, SLOS)
    return result


def plain(*times_s: float) -> list[Emitted]:
    return [(t_s, "backend-east", {}) for t_s in times_s]


def test_all_calm_time_counts(tmp_path: Path) -> None:
    """Nothing in the five seconds before the fault, but ten events earlier: five times as many as after it."""
    noise = plain(*(3.0 * n for n in range(1, 11)))
    result = judged(history(tmp_path, noise + plain(41.0, 43.0)))
    assert result.verdict is Verdict.INCONCLUSIVE
    assert judged(history(tmp_path, plain(41.0, 43.0))).verdict is Verdict.PASSED
    # Also what comes after the fault and its answers.
    later = plain(*(86.0 + n for n in range(10)))
    assert judged(history(tmp_path, plain(41.0, 43.0) + later)).verdict is Verdict.INCONCLUSIVE


def test_more_time_than_was_observed_is_no_evidence(tmp_path: Path) -> None:
    early = replace(CRASH, at_s=6.0, applied_at_s=6.0, undone_at_s=30.0)
    gate = EventGate(event="shop.failover", within="60s")
    result = judged(history(tmp_path, plain(7.0, 8.0, 9.0), early, end_s=80.0), gate)
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "too few to tell what is usual" in result.reason


def test_where_names_the_node_and_the_fields(tmp_path: Path) -> None:
    events: list[Emitted] = [(40.5 + n / 10, "west-1", {"reason": "timeout", "attempt": n}) for n in range(5)]
    found = history(tmp_path, events)
    for where, verdict in {
        "node = 'west-1'": Verdict.PASSED,
        "node = 'east-1'": Verdict.FAILED,
        "fields->>'reason' = 'timeout' and (fields->>'attempt')::int > 3": Verdict.PASSED,
        "fields->>'reason' = 'refused'": Verdict.FAILED,
        "fields->>'missing' = 'x'": Verdict.FAILED,
        "node": Verdict.ERROR,
        "nod = 'west-1'": Verdict.ERROR,
    }.items():
        assert judged(found, GATE.model_copy(update={"where": where})).verdict is verdict, where


def test_an_event_for_which_where_is_null_counts_where_it_hurts(tmp_path: Path) -> None:
    """It answers no fault, but is seen without one."""
    gate = GATE.model_copy(update={"where": "fields->>'reason' = 'timeout'"})
    good: list[Emitted] = [(41.0, "west-1", {"reason": "timeout"})]
    assert judged(history(tmp_path, good), gate).verdict is Verdict.PASSED
    unknown = judged(history(tmp_path, good + plain(*range(10, 30))), gate)
    assert unknown.verdict is Verdict.INCONCLUSIVE
    passed = judged(history(tmp_path, good + plain(41.0, 41.5)), gate)
    assert (passed.verdict, passed.samples, passed.unknown) == (Verdict.PASSED, 1, 2)


def two(*targets: str) -> tuple[FaultRecord, ...]:
    return tuple(replace(CRASH, name=f"crash-{name}", targets=(name,)) for name in targets)


def test_faults_at_one_moment_do_not_share_an_event(tmp_path: Path) -> None:
    events: list[Emitted] = [(40.5 + n / 10, "west-1", {}) for n in range(8)]
    result = judged(history(tmp_path, events, *two("east-1", "west-1")))
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "crash-east-1 and crash-west-1 start at one moment" in result.reason


def test_where_tells_faults_at_one_moment_apart(tmp_path: Path) -> None:
    gate = GATE.model_copy(update={"where": "list_contains(targets, node)"})
    west: list[Emitted] = [(40.5, "west-1", {}), (40.6, "west-1", {})]
    faults = two("east-1", "west-1")
    missed = judged(history(tmp_path, west, *faults), gate)
    assert (missed.verdict, missed.reason) == (
        Verdict.FAILED,
        "no shop.failover within 5 s of the start of crash-east-1",
    )
    both = judged(history(tmp_path, [*west, (41.0, "east-1", {})], *faults), gate)
    assert (both.verdict, both.value) == (Verdict.PASSED, 1.0)


@pytest.mark.parametrize(("of", "within", "fits"), [("fault", "60s", True), ("fault", "61s", False)])
@pytest.mark.parametrize("shift_s", [0.0, 10.0])
def test_within_must_fit_into_the_rest_of_the_run(of: str, within: str, fits: bool, shift_s: float) -> None:
    gate = EventGate.model_validate({"event": "shop.failover", "within": within, "of": of})
    context = CheckContext(SYSTEM, SLOS, 80.0 + shift_s, 100.0 + shift_s, 40.0 + shift_s)
    found = [problem.code for problem in gate.check(context)]
    assert found == ([] if fits else [Code.BAD_TIMING])
    after = EventGate.model_validate({"event": "shop.failover", "within": "21s", "of": "recovery"})
    assert [problem.code for problem in after.check(context)] == [Code.BAD_TIMING]


def test_where_is_checked_before_a_run() -> None:
    context = CheckContext(SYSTEM, SLOS, 80.0, 200.0, 40.0)
    for where, problems in {
        "node = 'x' and list_contains(targets, node)": 0,
        "nod = 'x'": 1,
        "node": 1,
    }.items():
        gate = GATE.model_copy(update={"where": where})
        assert len([*gate.check(context)]) == problems


def test_chance_by_hand() -> None:
    assert chance_of_events(0, 95.0, [5.0], 5.0) == pytest.approx(0.05)
    assert chance_of_events(0, 95.0, [2.5], 5.0) == pytest.approx(0.025)
    assert chance_of_events(0, 10.0, [10.0, 10.0], 10.0) == pytest.approx(0.25)
    assert chance_of_events(3, 10.0, [], 10.0) == 1.0


@pytest.mark.parametrize("per_window", [0.1, 0.5, 2.0, 6.0])
@pytest.mark.parametrize("calm_s", [10.0, 40.0])
def test_noise_is_taken_for_an_answer_in_at_most_five_percent_of_runs(
    per_window: float, calm_s: float
) -> None:
    rng, window_s, runs, passed = random.Random(5), 10.0, 4000, 0
    for _ in range(runs):
        time_s, times = rng.expovariate(per_window / window_s), []
        while time_s < calm_s + window_s:
            times.append(time_s)
            time_s += rng.expovariate(per_window / window_s)
        waits = [t_s - calm_s for t_s in times if t_s >= calm_s]
        passed += chance_of_events(len(times) - len(waits), calm_s, waits, window_s) <= 0.05
    assert passed / runs <= 0.05 + 3 * (0.05 * 0.95 / runs) ** 0.5


def test_noise_does_not_pass_the_gate(tmp_path: Path) -> None:
    """The same with whole histories: half an event in each `within`."""
    rng, passed = random.Random(7), 0
    for _ in range(60):
        times = [rng.uniform(0, 100) for _ in range(10)]
        passed += judged(history(tmp_path, plain(*times))).verdict is Verdict.PASSED
    assert passed <= 6  # 5 % of 60 is 3; more than 6 has a probability of 3 %


@pytest.mark.parametrize(
    ("rate", "size", "spread_s"), [(0.1, 4, 1.0), (0.1, 15, 2.0), (0.5, 4, 5.0), (0.5, 15, 2.0)]
)
@pytest.mark.parametrize(("total_s", "window_s"), [(60.0, 5.0), (40.0, 15.0)])
def test_bursts_are_taken_for_an_answer_in_at_most_five_percent_of_runs(
    rate: float, size: int, spread_s: float, total_s: float, window_s: float
) -> None:
    """Events in bursts: the test of independent events alone takes them for an answer in up to 35 % of runs."""
    rng, runs, passed, independent = np.random.default_rng(6), 500, 0, 0
    for _ in range(runs):
        begins = rng.uniform(-2 * spread_s, total_s, rng.poisson(rate * (total_s + 2 * spread_s)))
        bursts = [begin + rng.uniform(0, spread_s, rng.geometric(1 / size)) for begin in begins]
        times = np.concatenate([*bursts, []])
        moved = np.sort((times[(times >= 0) & (times < total_s)] - total_s / 2) % total_s)
        waits = [float(t_s) for t_s in moved if t_s <= window_s]
        if not waits:
            continue
        usual = len(moved) - len(waits)
        chance = chance_of_events(usual, total_s - window_s, waits, window_s)
        independent += chance <= 0.05
        passed += max(chance, chance_of_moment([*map(float, moved)], waits[0], window_s, total_s)) <= 0.05
    assert passed / runs <= 0.05 + 2.5 * (0.05 * 0.95 / runs) ** 0.5
    assert independent / runs > 0.1


def test_a_burst_is_one_answer(tmp_path: Path) -> None:
    """One burst of ten within ten seconds, nothing in 55 s: as soon as that comes one burst in 1 of 8 runs."""
    late = plain(*(48.0 + n / 10 for n in range(10)))
    gate = EventGate(event="shop.failover", within="10s")
    assert judged(history(tmp_path, late), gate).verdict is Verdict.INCONCLUSIVE
    prompt = plain(*(41.0 + n / 10 for n in range(10)))
    assert judged(history(tmp_path, prompt), gate).verdict is Verdict.PASSED
