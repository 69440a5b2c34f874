"""Notes on which rows a gate judges: survivors only, rows of nodes that tell nothing about silent clients, or requests
that waited for each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from harness.errors import HarnessError, InvalidValue
from harness.gates.base import Gate
from harness.history.read import History
from harness.history.table import quoted
from harness.sli.base import Slo
from harness.sli.clients import CLIENTS, records_of_clients
from harness.sli.finite import finite
from harness.sli.formatting import ratio
from harness.sli.percentile import PercentileSlo
from harness.sli.query import check_condition
from harness.verdict.held_back import held_back_note

MAX_MORE_DROPPED = 0.05
"""A `where` that drops so many more of the rows under the faults than before them judges survivors."""


def sample_notes(gates: Sequence[Gate], slos: Mapping[str, Slo], history: History) -> Iterator[str]:
    """Each note once, in the order of the gates. A gate that cannot be computed has none: it is an error already."""
    for slo, where in dict.fromkeys(_rows_of(gates, slos)):
        name = next(name for name, one in slos.items() if one is slo)
        conditions = [condition for condition in (slo.where, where) if condition is not None]
        try:
            yield from _survivors(name, slo, conditions, history)
        except HarnessError:
            continue
    for name, slo, where, threshold in _percentiles(gates, slos):
        try:
            yield from held_back_note(name, slo, where, threshold, history)
        except HarnessError:
            continue
    for table in dict.fromkeys(slo.table for slo, _ in _rows_of(gates, slos)):
        if table in history.tables and CLIENTS in history.tables and not records_of_clients(history, table):
            yield from _silent(table, history)


def _rows_of(gates: Sequence[Gate], slos: Mapping[str, Slo]) -> Iterator[tuple[Slo, str | None]]:
    """The SLO of each gate that is about one, and the gate's `where`."""
    for gate in gates:
        try:
            objective = gate.objective(slos)
        except (HarnessError, InvalidValue):
            continue
        if objective is not None:
            yield objective.slo, objective.where


def _percentiles(
    gates: Sequence[Gate], slos: Mapping[str, Slo]
) -> Iterator[tuple[str, PercentileSlo, str | None, float]]:
    """The percentiles of seconds that gates are about, each once: its name, `where` and threshold in seconds."""
    found: dict[tuple[str, str | None, float], PercentileSlo] = {}
    names = {id(slo): name for name, slo in slos.items()}
    for gate in gates:
        try:
            objective = gate.objective(slos)
        except (HarnessError, InvalidValue):
            continue
        if (
            objective is not None
            and isinstance(objective.slo, PercentileSlo)
            and objective.threshold.unit == "s"
        ):
            key = (names[id(objective.slo)], objective.where, objective.threshold.value)
            found[key] = objective.slo
    for (name, where, threshold), slo in found.items():
        yield name, slo, where, threshold


def _survivors(name: str, slo: Slo, conditions: Sequence[str], history: History) -> Iterator[str]:
    if not conditions or history.metadata.fault_start_s is None:
        return
    for condition in conditions:
        check_condition(history, slo.table, "where", condition)
    belongs = " AND ".join(f"({finite(history, slo.table, condition)}\n)" for condition in conditions)
    # By the time at which rows were recorded: `at` may be null for those that are dropped.
    ((before, dropped_before, under, dropped_under),) = history.query(
        f"""
        SELECT count(*) FILTER (WHERE t_s < fault_start_s), count(*) FILTER (WHERE t_s < fault_start_s AND dropped),
        count(*) FILTER (WHERE t_s BETWEEN fault_start_s AND fault_end_s),
        count(*) FILTER (WHERE t_s BETWEEN fault_start_s AND fault_end_s AND dropped)
        FROM (SELECT *, NOT coalesce({belongs}, true) AS dropped FROM {quoted(slo.table)})
        """
    )
    if not before or not under:
        return
    share_before, share_under = dropped_before / before, dropped_under / under
    if share_under - share_before > MAX_MORE_DROPPED:
        yield (
            f"{name}: its 'where' drops {dropped_under:,} of {under:,} rows of {slo.table} under the faults "
            f"({ratio(share_under, 1)}), {ratio(share_before, 1)} before them: it may judge survivors only"
        )


def _silent(table: str, history: History) -> Iterator[str]:
    """Clients that recorded nothing or did not end by themselves, where only nodes record rows."""
    ((silent,),) = history.query(f"SELECT count(*) FROM {CLIENTS} WHERE outcome <> 'left'")
    if silent:
        yield (
            f"{silent:,} clients did not end by themselves; table {table} is recorded by nodes, so gates on it "
            "cannot bound what these clients did not ask for"
        )
