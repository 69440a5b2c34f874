"""Several seeds together: rows of all runs for claims about clients, the worst run for facts of a run."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from harness.gates.base import Gate, PooledRun
from harness.gates.blast_radius import BlastRadiusGate
from harness.gates.compare import CompareGate
from harness.gates.count import CountGate
from harness.gates.event import EventGate
from harness.gates.judge import judge_pooled_gates
from harness.gates.mean import MeanGate
from harness.gates.recovered import RecoveredGate
from harness.gates.result import GateResult, Verdict
from harness.gates.slo import SloGate
from harness.history.metadata import RunMetadata
from harness.history.read import History
from harness.sli.clusters import Counts
from harness.verdict.pool import confidence_of_look, look_sizes
from tests.verdict.support import CRASH, METADATA, SLOS, Arrival, Visit, by_clients, history, visits

type Rows = list[tuple[str, Visit]]


def with_seed(found: History, seed: int) -> History:
    found.environment = found.environment.model_copy(update={"seed": seed})
    return found


def pooled(runs: Sequence[History], *gates: Gate, confidence: float = 0.95) -> list[GateResult]:
    numbered = [PooledRun(with_seed(one, seed)) for seed, one in enumerate(runs, 1)]
    return judge_pooled_gates(gates, numbered, SLOS, confidence=confidence)


def shop(draw: random.Random, clients: int) -> tuple[Rows, list[Arrival]]:
    """Clients with one to six visits each, some of them mostly bad, a tenth silent."""
    rows: Rows = []
    arrivals = []
    for number in range(clients):
        name, arrived_s, share = f"c{number}", draw.uniform(5, 110), draw.choice((0.02, 0.02, 0.7))
        outcome = draw.choice(("left", "cancelled"))
        # All clients are cancelled at one moment, the end of the drain.
        arrivals.append(Arrival(name, arrived_s, arrived_s + 20 if outcome == "left" else 130.0, outcome))
        for visit in range(0 if number % 10 == 9 else draw.randint(1, 6)):
            ok = draw.random() > share
            rows.append((name, Visit(arrived_s + visit, "fast", ok, draw.uniform(0.05, 0.4))))
    return rows, arrivals


@pytest.mark.parametrize("draw", [random.Random(seed) for seed in range(4)])
def test_a_pool_is_the_rows_of_all_runs_whose_clients_are_distinct(
    tmp_path: Path, draw: random.Random
) -> None:
    """Every run has a client c0. In one history with the rows of all of them they need names of their own."""
    shops = [shop(draw, draw.randint(20, 60)) for _ in range(3)]
    rows = [(f"{run}-{name}", row) for run, (found, _) in enumerate(shops) for name, row in found]
    arrivals = [
        replace(one, client=f"{run}-{one.client}") for run, (_, all_) in enumerate(shops) for one in all_
    ]
    gates: tuple[Gate, ...] = (
        SloGate(slo="success"),
        SloGate(slo="speed", during="fault"),
        RecoveredGate(recovered="success-by-group", within="2s"),
        MeanGate(mean="latency_s", table="visits", at_most="300ms"),
        BlastRadiusGate(blast_radius="success", where="status = 200", margin="20%"),
    )
    apart = pooled([by_clients(tmp_path / "apart", *one) for one in shops], *gates)
    together = pooled([by_clients(tmp_path / "together", rows, arrivals)], *gates)
    assert [replace(one, value=None, interval=None) for one in apart] == [
        replace(one, value=None, interval=None) for one in together
    ]
    # The order in which figures are added differs.
    assert [one.value for one in apart] == pytest.approx([one.value for one in together])
    for one, other in zip(apart, together, strict=True):
        assert one.interval == pytest.approx(other.interval)
    assert any(result.missing for result in apart)


def test_each_run_has_its_own_window(tmp_path: Path) -> None:
    """The fault is over at 80 s in one run, at 60 s in the other, so that its bad time after that does not count."""
    late, early = METADATA, replace(METADATA, faults=(replace(CRASH, undone_at_s=60.0),))
    runs = [
        history(tmp_path, visits(50.0, 100), metadata=late),
        history(tmp_path, [*visits(50.0, 100), *visits(65.0, 0, 100)], metadata=early),
    ]
    (result,) = pooled(runs, SloGate(slo="success", during="fault"))
    assert (result.verdict, result.samples) == (Verdict.PASSED, 200)


def test_a_silent_run_is_not_outvoted(tmp_path: Path) -> None:
    runs = [history(tmp_path, visits(50.0, 500)), history(tmp_path, [])]
    (result,) = pooled(runs, SloGate(slo="success"))
    assert (result.verdict, result.reason) == (Verdict.INCONCLUSIVE, "no samples with seed 2")


def test_a_fact_of_one_run_is_not_averaged_away(tmp_path: Path) -> None:
    """Six bad visits of one run are too many for it, whatever the other runs have."""
    runs = [history(tmp_path, visits(50.0, 100, bad)) for bad in (0, 6, 0)]
    (result,) = pooled(runs, CountGate(count="visits", where="not ok", at_most=5))
    assert (result.verdict, result.value) == (Verdict.FAILED, 6)
    assert "failed in 1 of 3 runs; seed 2" in result.reason


def test_clients_are_paired_within_a_seed_only(tmp_path: Path) -> None:
    """The control run of a seed has the same clients as its main run; another seed has other ones of those names."""
    rows, arrivals = shop(random.Random(1), 50)
    reporting = {client for client, _ in rows}
    arrivals = [
        replace(one, ended_s=one.arrived_s + 20, outcome="left")
        for one in arrivals
        if one.client in reporting
    ]
    free = RunMetadata(arm="control", without=(), faults=(), failures=(), invariants=())
    gate = CompareGate(compare="success", margin="3%")

    def run(seed: int) -> PooledRun:
        control = by_clients(tmp_path, rows, arrivals, metadata=free)
        return PooledRun(with_seed(by_clients(tmp_path, rows, arrivals), seed), with_seed(control, seed))

    one = judge_pooled_gates([gate], [run(1)], SLOS)[0]
    three = judge_pooled_gates([gate], [run(seed) for seed in (1, 2, 3)], SLOS)[0]
    assert one.reason.endswith("(45 clients)")
    assert three.reason.endswith("(135 clients)")
    assert (three.verdict, three.value) == (Verdict.PASSED, 0)


def events(directory: Path, *waits: float) -> History:
    """An event so long after the fault at 40 s, in a run of 100 s; one event elsewhere where there is none."""
    found = [(40.0 + wait_s, "shop.failover") for wait_s in waits]
    return history(directory, [*visits(1.0, 1), *visits(100.0, 1)], events=found)


def test_runs_together_exclude_chance_that_each_alone_does_not(tmp_path: Path) -> None:
    gate = EventGate(event="shop.failover", within="5s")
    alone = [pooled([events(tmp_path, 4.0)], gate)[0].verdict for _ in range(3)]
    assert alone == [Verdict.INCONCLUSIVE] * 3
    together = pooled([events(tmp_path, 4.0) for _ in range(3)], gate)[0]
    assert (together.verdict, together.value) == (Verdict.PASSED, 4.0)
    missed = pooled([events(tmp_path, 0.1), events(tmp_path), events(tmp_path, 0.1)], gate)[0]
    assert missed.verdict is Verdict.FAILED


def test_looks_are_few_and_share_the_risk() -> None:
    assert [look_sizes(most) for most in (1, 2, 3, 8, 20)] == [
        (1,),
        (1, 2),
        (1, 2, 3),
        (1, 2, 4, 8),
        (1, 2, 4, 8, 16, 20),
    ]
    assert confidence_of_look(0.95, 1) == 0.95
    assert confidence_of_look(0.95, 5) == pytest.approx(0.99)


def test_a_pool_that_grows_until_it_passes_is_wrong_as_seldom_as_claimed() -> None:
    """2,000 suites of up to 20 seeds with 40 clients each; the true share of good ones is the target itself."""
    draw, target, suites, sizes = random.Random(1), 0.9, 2_000, look_sizes(20)
    wrong = {0.95: 0, confidence_of_look(0.95, len(sizes)): 0}
    for _ in range(suites):
        bad = [sum(draw.random() > target for _ in range(40)) for _ in range(20)]
        for confidence in wrong:
            totals = [(40 * size, sum(bad[:size])) for size in sizes]
            wrong[confidence] += any(Counts(n, b, n, n, b, b, confidence).holds(target) for n, b in totals)
    careless, corrected = (count / suites for count in wrong.values())
    assert careless > 0.1
    assert corrected <= 0.05
