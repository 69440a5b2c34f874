"""Nothing is lost, nothing is done twice: rows of one table that belong to rows of another."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from harness.gates.every import EveryGate
from harness.gates.judge import judge_gates
from harness.gates.result import GateResult, Verdict
from harness.history.metadata import MatchRecord
from harness.history.read import History
from harness.history.write import write_history
from harness.runtime.contract import Recorded
from tests.history.support import environment
from tests.verdict.support import METADATA, SYSTEM, experiment, verdict_of


@dataclass(frozen=True, slots=True)
class Accepted:
    t_s: float
    order_id: str | None
    ok: bool | None = True


@dataclass(frozen=True, slots=True)
class Done:
    t_s: float
    order_id: str | None


ORDERS = replace(SYSTEM, tables={"accepted": Accepted, "done": Done})
CLAIM = MatchRecord(
    "once",
    "accepted",
    "order_id",
    "true",
    "t_s",
    "done",
    "order_id",
    "true",
    "t_s",
    1,
    10.0,
    "orders are done",
)


def orders(directory: Path, *rows: Accepted | Done, claims: tuple[MatchRecord, ...] = ()) -> History:
    """The rows, and an order that is done in time. The run ends at 100 s."""
    fine = (Accepted(1.0, "fine"), Done(2.0, "fine"), Accepted(80.0, "last"), Done(100.0, "other"))
    run = directory / "run"
    write_history(
        run,
        system=ORDERS,
        records=[Recorded(row.t_s, "host", row) for row in (*fine[:2], fine[3], *rows)],
        metadata=replace(METADATA, invariants=claims),
        experiment_yaml="",
        slos_yaml="",
        environment=environment(),
    )
    return History(run)


def judged(history: History, where: str | None = None, **more: object) -> GateResult:
    every = {"table": "accepted", "key": "order_id"} | ({} if where is None else {"where": where})
    gate = EveryGate.model_validate(
        {"every": every, "in": {"table": "done", "key": "order_id"}, "within": "10s", **more}
    )
    (result,) = judge_gates([gate], history, {})
    return result


@pytest.mark.parametrize(
    ("rows", "verdict", "violated"),
    [
        ((), Verdict.PASSED, 0),
        ((Accepted(50, "a"), Done(59, "a")), Verdict.PASSED, 0),
        ((Accepted(50, "a"), Done(49.9, "a")), Verdict.PASSED, 0),  # the answer is slower than the work
        ((Accepted(50, "a"),), Verdict.FAILED, 1),  # lost
        ((Accepted(50, "a"), Done(61, "a")), Verdict.FAILED, 1),  # late
        ((Accepted(50, "a"), Done(51, "a"), Done(52, "a")), Verdict.FAILED, 1),  # done twice
        ((Accepted(50, "a"), Done(51, "a"), Done(99, "a")), Verdict.FAILED, 1),  # done again later
        ((Accepted(50, None),), Verdict.FAILED, 1),  # nobody can tell which order that is
        ((Done(50, None),), Verdict.FAILED, 1),
        (
            (Accepted(50, "a"), Accepted(51, "a"), Done(52, "a")),
            Verdict.PASSED,
            0,
        ),  # accepted again: one order
    ],
)
def test_every_order_is_done_exactly_once(
    tmp_path: Path, rows: tuple[Accepted | Done, ...], verdict: Verdict, violated: int
) -> None:
    result = judged(orders(tmp_path, *rows))
    assert (result.verdict, result.value, result.kind) == (verdict, violated, "every")


def test_an_order_whose_time_is_not_over_is_not_judged_and_that_is_shown(tmp_path: Path) -> None:
    result = judged(orders(tmp_path, Accepted(95, "pending"), Accepted(96, "quick"), Done(97, "quick")))
    assert (result.verdict, result.samples) == (Verdict.PASSED, 2)
    assert result.reason.endswith("; 1 are not judged: the run ends less than 10 s after them")


def test_that_alone_is_no_pass(tmp_path: Path) -> None:
    result = judged(orders(tmp_path, Accepted(95, "pending")), where="t_s > 90")
    assert (result.verdict, result.samples) == (Verdict.INCONCLUSIVE, 0)


def test_no_rows_are_no_pass(tmp_path: Path) -> None:
    assert judged(orders(tmp_path), where="t_s > 90").verdict is Verdict.INCONCLUSIVE


def test_a_row_that_may_count_is_unknown(tmp_path: Path) -> None:
    lost = judged(orders(tmp_path, Accepted(50, "a", ok=None)), where="ok")
    assert (lost.verdict, lost.unknown) == (Verdict.INCONCLUSIVE, 1)


@pytest.mark.parametrize(
    ("times", "done", "verdict"),
    [
        (0, (), Verdict.FAILED),  # "fine" is done
        (2, (Done(3, "fine"),), Verdict.PASSED),
        (2, (), Verdict.FAILED),
        (2, (Done(30, "fine"),), Verdict.FAILED),  # the second one is late
    ],
)
def test_other_numbers_of_times(tmp_path: Path, times: int, done: tuple[Done, ...], verdict: Verdict) -> None:
    assert judged(orders(tmp_path, *done), times=times).verdict is verdict


def test_keys_of_different_types_are_an_error(tmp_path: Path) -> None:
    gate = EveryGate.model_validate(
        {
            "every": {"table": "accepted", "key": "order_id"},
            "in": {"table": "done", "key": "t_s"},
            "within": "1s",
        }
    )
    (result,) = judge_gates([gate], orders(tmp_path), {})
    assert result.verdict is Verdict.ERROR


@pytest.mark.parametrize("key", ["random()", "(select 1)", "order", "order_id) from accepted; select (1"])
def test_the_sql_of_a_key_is_limited_as_that_of_an_slo(tmp_path: Path, key: str) -> None:
    gate = EveryGate.model_validate(
        {"every": {"table": "accepted", "key": key}, "in": {"table": "done", "key": key}, "within": "1s"}
    )
    (result,) = judge_gates([gate], orders(tmp_path), {})
    assert result.verdict is Verdict.ERROR


def test_as_an_invariant_of_the_system(tmp_path: Path) -> None:
    lost = verdict_of(experiment(faults=1), orders(tmp_path, Accepted(50, "a"), claims=(CLAIM,)))
    (gate,) = lost.gates
    assert (lost.verdict, gate.kind, gate.value) == (Verdict.FAILED, "invariant", 1)
    assert gate.reason.endswith("orders are done")


def test_an_invariant_without_rows_is_not_applicable(tmp_path: Path) -> None:
    unused = replace(CLAIM, name="unused", where="t_s > 90")
    result = verdict_of(experiment(faults=1), orders(tmp_path, claims=(CLAIM, unused)))
    assert result.verdict is Verdict.PASSED
    assert [gate.name for gate in result.gates] == ["once"]
    assert result.notes == ("invariant unused is not applicable: table accepted has no rows that count",)
