"""What an SLO's SQL comes to on a history: counts and values, by group and by window of time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harness.history.read import History
from harness.spec.model import PercentileSlo, RatioSlo, Slo


@dataclass(frozen=True, slots=True)
class Window:
    """Which rows count, by when they were determined: from `start_s` on, before `end_s`; None is open."""

    start_s: float | None = None
    end_s: float | None = None

    def condition(self, at: str) -> str:
        parts = []
        if self.start_s is not None:
            parts.append(f"({at}) >= {self.start_s!r}")
        if self.end_s is not None:
            parts.append(f"({at}) < {self.end_s!r}")
        return " AND ".join(parts) or "true"


def windows(history: History) -> dict[str, Window]:
    """The windows that a gate's `during` names. Without faults all time is before them."""
    start, end = history.facts.fault_start_s, history.facts.fault_end_s
    if start is None:
        nothing = Window(float("inf"), None)
        return {"all": Window(), "before": Window(), "fault": nothing, "after": nothing}
    return {
        "all": Window(),
        "before": Window(None, start),
        "fault": Window(start, end),
        "after": Window(end, None),
    }


def ratios(
    history: History, slo: RatioSlo, where: str | None, window: Window
) -> Iterator[tuple[str, int, int]]:
    """Group, good rows, all rows. An expression that is null counts as not good."""
    good = f"coalesce(({slo.good}), false)" if slo.good is not None else f"NOT coalesce(({slo.bad}), true)"
    inside = f"coalesce({window.condition(slo.at)}, false)"
    sql = (
        f"SELECT {_group(slo)} AS grp, count(*) FILTER (WHERE ({good}) AND {inside}), "
        f"count(*) FILTER (WHERE {inside}) {_from(slo, where)} GROUP BY grp ORDER BY grp"
    )
    for group, n_good, n_all in history.query(sql):
        yield str(group), int(n_good), int(n_all)


def values(
    history: History, slo: PercentileSlo, where: str | None, window: Window
) -> Iterator[tuple[str, list[float]]]:
    """Group and its values, sorted. A value that is null is an infinitely bad one."""
    inside = f"coalesce({window.condition(slo.at)}, false)"
    sql = (
        f"SELECT {_group(slo)} AS grp, list(coalesce(CAST(({slo.value}) AS DOUBLE), 'inf'::DOUBLE)) "
        f"FILTER (WHERE {inside}) {_from(slo, where)} GROUP BY grp ORDER BY grp"
    )
    for group, found in history.query(sql):
        yield str(group), sorted(found or ())


def _group(slo: Slo) -> str:
    return "''" if slo.by is None else f"coalesce(CAST(({slo.by}) AS VARCHAR), 'none')"


def _from(slo: Slo, where: str | None) -> str:
    conditions = [f"({condition})" for condition in (slo.where, where) if condition]
    return f'FROM "{slo.table}"' + (f" WHERE {' AND '.join(conditions)}" if conditions else "")
