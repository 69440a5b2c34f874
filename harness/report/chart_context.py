"""What charts show besides the tables of a run: the percentiles of its SLOs, and when its load ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.sli.base import Slo

DEFAULT_PERCENTILE = 95.0


@dataclass(frozen=True, slots=True)
class ChartContext:
    """`load_end_s`: when the last clients arrived, in seconds of the run; None where it is not known."""

    slos: Mapping[str, Slo] = field(default_factory=dict)
    load_end_s: float | None = None

    def percentile(self, slo: str | None, table: str, column: str) -> float:
        """Which percentile an SLO is about, or else the first one on that column of the table, or else 95."""
        named = self.slos.get(slo or "")
        found = [None if named is None else named.percentile_of()]
        found += [one.percentile_of(column) for one in self.slos.values() if one.table == table]
        return next((percent for percent in found if percent is not None), DEFAULT_PERCENTILE)
