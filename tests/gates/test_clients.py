"""Gates count clients: rows of one client depend on each other, and a client without rows is the worst."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.gates.blast_radius import BlastRadiusGate
from harness.gates.judge import judge_gates
from harness.gates.rate import RateGate
from harness.gates.recovered import RecoveredGate
from harness.gates.result import GateResult, Verdict
from harness.gates.slo import SloGate
from harness.gates.slo_based import SloBasedGate
from harness.gates.time_slice import TimeSliceGate
from harness.history.read import History
from tests.verdict.support import METADATA, SLOS, SUCCESS, Arrival, Visit, by_clients


def judged(found: History, gate: SloBasedGate) -> list[GateResult]:
    return judge_gates([gate], found, SLOS)


def shop(
    clients: int, visits_each: int = 1, bad: int = 0, start_s: float = 50.0, latency_s: float = 0.1
) -> tuple[list[tuple[str, Visit]], list[Arrival]]:
    """Clients that visit once a second; the first `bad` of them badly, all the time."""
    rows = [
        (f"c{n}", Visit(start_s + n / 100 + visit, "fast", n >= bad, 9.0 if n < bad else latency_s))
        for n in range(clients)
        for visit in range(visits_each)
    ]
    return rows, [Arrival(f"c{n}", start_s + n / 100, start_s + visits_each + 1) for n in range(clients)]


def test_rows_of_one_client_are_not_independent(tmp_path: Path) -> None:
    """1,000 good rows of 20 clients show no 90 %: 20 clients do not."""
    for gate in (SloGate(slo="success"), SloGate(slo="speed", at_most="200ms")):
        (few,) = judged(by_clients(tmp_path, *shop(20, 50)), gate)
        assert (few.verdict, few.samples, few.needs is not None) == (Verdict.INCONCLUSIVE, 1000, True)
        assert few.effective is not None
        assert few.effective <= 20
        (many,) = judged(by_clients(tmp_path, *shop(100, 10)), gate)
        assert many.verdict is Verdict.PASSED


def test_one_row_a_client_is_as_it_was(tmp_path: Path) -> None:
    (result,) = judged(by_clients(tmp_path, *shop(300, bad=3)), SloGate(slo="success"))
    assert (result.effective, result.samples) == (300, 300)
    assert result.interval == pytest.approx((0.97434, 0.99726), abs=1e-4)
    assert result.confidence == 0.9


def test_bad_rows_of_few_clients_refute_nothing(tmp_path: Path) -> None:
    """A fifth of the rows is bad, of one client of five."""
    rows, arrivals = shop(5, 60, bad=1)
    assert (
        judged(by_clients(tmp_path, rows, arrivals), SloGate(slo="success"))[0].verdict
        is Verdict.INCONCLUSIVE
    )


def test_the_slo_names_what_depends_on_each_other(tmp_path: Path) -> None:
    rows, arrivals = shop(100)
    slos = {"success": SUCCESS.model_copy(update={"cluster": "status"})}
    (result,) = judge_gates([SloGate(slo="success")], by_clients(tmp_path, rows, arrivals), slos)
    assert (result.verdict, result.effective) == (Verdict.INCONCLUSIVE, 0)


def test_rows_of_a_node_are_clustered_by_second(tmp_path: Path) -> None:
    rows = [("gateway", Visit(50 + n / 100, "fast", True, 0.1)) for n in range(1000)]
    (result,) = judged(by_clients(tmp_path, rows, [Arrival("c0", 1.0, 90.0)]), SloGate(slo="success"))
    assert result.verdict is Verdict.INCONCLUSIVE
    assert result.effective is not None
    assert result.effective <= 10
    assert result.missing == 0  # nodes record the table: clients have no rows by nature


@pytest.mark.parametrize(
    ("outcome", "last_s", "missing"),
    [
        ("left", None, 60),
        ("unended", None, 60),
        ("cancelled", 60.0, 60),
        ("cancelled", 100.0, 0),  # it reported when it was cancelled
        ("left", 60.0, 0),
    ],
)
def test_clients_that_fall_silent_are_the_worst(
    tmp_path: Path, outcome: str, last_s: float | None, missing: int
) -> None:
    rows, arrivals = shop(200)
    for n in range(60):
        ended_s = None if outcome == "unended" else 100.0
        arrivals.append(Arrival(f"silent{n}", 55.0, ended_s, outcome))
        if last_s is not None:
            rows.append((f"silent{n}", Visit(last_s, "fast", True, 0.1)))
    (result,) = judged(by_clients(tmp_path, rows, arrivals), SloGate(slo="success"))
    assert result.missing == missing
    assert result.verdict is (Verdict.INCONCLUSIVE if missing else Verdict.PASSED)
    if missing:
        assert result.bounded is not None
        assert result.bounded < 0.82
        assert "60 clients did not report" in result.reason
        assert result.value == 1.0


def test_the_missing_belong_to_a_group_and_a_time(tmp_path: Path) -> None:
    rows, arrivals = shop(200)
    rows += [(f"s{n}", Visit(50 + n / 100, "slow", True, 0.1)) for n in range(200)]
    arrivals += [Arrival(f"s{n}", 50.0, 60.0, group="slow") for n in range(200)]
    arrivals += [Arrival(f"x{n}", 85.0, 100.0, "cancelled", group="slow") for n in range(40)]
    found = by_clients(tmp_path, rows, arrivals, metadata=replace(METADATA, groups=("fast", "slow")))
    by_group = {one.name: one.missing for one in judged(found, SloGate(slo="success-by-group"))}
    assert by_group == {"success-by-group[fast]": 0, "success-by-group[slow]": 40}
    assert judged(found, SloGate(slo="success", during="fault"))[0].missing == 0
    assert judged(found, RecoveredGate(recovered="success", within="5s"))[0].missing == 40


def test_a_workload_that_never_records_in_the_table_is_not_missing(tmp_path: Path) -> None:
    rows, arrivals = shop(200)
    arrivals += [Arrival(f"other{n}", 50.0, 60.0, workload="others") for n in range(100)]
    assert judged(by_clients(tmp_path, rows, arrivals), SloGate(slo="success"))[0].missing == 0


def test_slices_of_time_count_clients_that_do_not_report(tmp_path: Path) -> None:
    """Ten clients a second, each with one visit; 30 more arrive at 50 s and say nothing till 60 s."""
    rows = [(f"c{n}", Visit(n / 10, "fast", True, 0.1)) for n in range(1000)]
    arrivals = [Arrival(f"c{n}", n / 10, n / 10 + 0.1) for n in range(1000)]
    gate = TimeSliceGate.model_validate({"time_slice": "success", "length": "10s"})
    assert judged(by_clients(tmp_path, rows, arrivals), gate)[0].verdict is Verdict.PASSED
    silent = [Arrival(f"s{n}", 50.0, 60.0) for n in range(30)]
    (result,) = judged(by_clients(tmp_path, rows, arrivals + silent), gate)
    assert (result.verdict, result.value) == (Verdict.INCONCLUSIVE, 1.0)


def test_a_rate_counts_clients_that_do_not_report(tmp_path: Path) -> None:
    rows, arrivals = shop(300)
    gate = RateGate.model_validate({"rate": "visits", "at_most": "60/s", "during": "fault"})
    assert judge_gates([gate], by_clients(tmp_path, rows, arrivals), SLOS)[0].verdict is Verdict.PASSED
    silent = [Arrival(f"s{n}", 50.0, 60.0) for n in range(1000)]
    (result,) = judge_gates([gate], by_clients(tmp_path, rows, arrivals + silent), SLOS)
    assert result.verdict is Verdict.INCONCLUSIVE


def test_a_comparison_counts_clients_that_do_not_report(tmp_path: Path) -> None:
    before, arrived_before = shop(300, start_s=10.0)
    during, arrived_during = shop(300)
    during = [(f"d{client}", visit) for client, visit in during]
    arrivals = arrived_before + [replace(one, client=f"d{one.client}") for one in arrived_during]
    gate = BlastRadiusGate(blast_radius="success", where="true", margin="5%")
    (result,) = judged(by_clients(tmp_path, before + during, arrivals), gate)
    assert (result.verdict, result.missing) == (Verdict.PASSED, 0)
    silent = [Arrival(f"s{n}", 50.0, 60.0) for n in range(30)]
    (result,) = judged(by_clients(tmp_path, before + during, arrivals + silent), gate)
    assert (result.verdict, result.missing) == (Verdict.INCONCLUSIVE, 30)
    assert result.bounded == pytest.approx(30 / 330)
