"""The clients behind the rows of a table: which rows depend on each other, and which clients are missing.

Rows are clustered by the first of these that there is (docs/verdicts.md, "What is independent"): the column that the
SLO names (`cluster`), the client that recorded the row, the column `client`, the second in which the row was recorded.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.experiment.model import SloDefinition
from harness.history.read import History
from harness.history.table import quoted

CLIENTS = "clients"
RECORDED_BY = "recorded_by"
CLIENT = "client"

_SETTLED_S = 0.1
"""A client that is cancelled reports what it was doing at once: this long before the first one has ended."""


def cluster_sql(history: History, slo: SloDefinition) -> str:
    """SQL over a row of the SLO's table: which rows depend on each other. Never null."""
    columns = history.tables.get(slo.table, {})
    if slo.cluster is not None:
        return f"coalesce(CAST({quoted(slo.cluster)} AS VARCHAR), '')"
    if CLIENT in columns:
        other = f"coalesce(CAST({CLIENT} AS VARCHAR), '')"
    elif RECORDED_BY in columns:
        other = "CAST(floor(t_s) AS VARCHAR)"
    else:
        # A history from before rows had recorders: nothing is known.
        return "CAST(row_number() OVER () AS VARCHAR)"
    if RECORDED_BY not in columns or CLIENTS not in history.tables:
        return other
    # Without any client whoever recorded a row is one.
    client = f"NOT EXISTS (SELECT 1 FROM {CLIENTS}) OR {RECORDED_BY} IN (SELECT client FROM {CLIENTS})"
    return f"CASE WHEN {client} THEN {RECORDED_BY} ELSE {other} END"


def records_of_clients(history: History, table: str) -> bool:
    """Whether clients record rows in the table; otherwise nobody can tell from it that a client is missing."""
    if CLIENTS not in history.tables or RECORDED_BY not in history.tables.get(table, {}):
        return False
    ((found,),) = history.query(
        f"SELECT EXISTS (SELECT 1 FROM {quoted(table)} JOIN {CLIENTS} ON {RECORDED_BY} = {CLIENTS}.client)"
    )
    return bool(found)


def missing_clients(
    history: History, slo: SloDefinition, start_s: float | None, end_s: float | None
) -> Mapping[str | None, int]:
    """How many clients may have had one row more from `start_s` on, before `end_s`, by group; all under None.

    Those without a row in the table, and those that did not end by themselves (cancelled, failed, unended) without a
    row from then. A client that was cancelled and has a row in the table may say how it ended in another one, as
    players do in their session. What is missing was determined after their last row and before their end. A load of
    which no client records rows in the table does not record in it, and counts as none.
    """
    if not records_of_clients(history, slo.table):
        return {}
    parts = ["true"]
    if start_s is not None:
        parts.append(f"coalesce(ended_s >= '{start_s!r}'::DOUBLE, true)")
    if end_s is not None:
        parts.append(f"coalesce(last_s, arrived_s) < '{end_s!r}'::DOUBLE")
    reports = " UNION ALL ".join(
        f"SELECT {RECORDED_BY} AS client, t_s FROM {quoted(table)}"
        for table, columns in history.tables.items()
        if RECORDED_BY in columns
    )
    rows = history.query(
        f"""
        WITH recorded AS (
            SELECT {RECORDED_BY} AS client, max(t_s) AS last_s FROM {quoted(slo.table)} GROUP BY 1
        ), reported AS (
            SELECT client, max(t_s) AS reported_s FROM ({reports}) GROUP BY 1
        ), arrivals AS (
            SELECT *, min(ended_s) FILTER (WHERE outcome = 'cancelled') OVER () AS cancelled_s
            FROM {CLIENTS} LEFT JOIN recorded USING (client) LEFT JOIN reported USING (client)
        )
        SELECT "group", count(*) FROM arrivals
        WHERE workload IN (SELECT workload FROM arrivals WHERE last_s IS NOT NULL)
        AND (last_s IS NULL OR outcome <> 'left' AND coalesce(
            CASE WHEN outcome = 'cancelled' THEN reported_s ELSE last_s END
            < CASE WHEN outcome = 'failed' THEN ended_s ELSE cancelled_s END - {_SETTLED_S}, true
        ))
        AND {" AND ".join(parts)}
        GROUP BY 1
        """
    )
    groups: dict[str | None, int] = {str(group): int(count) for group, count in rows}
    groups[None] = sum(groups.values())
    return groups
