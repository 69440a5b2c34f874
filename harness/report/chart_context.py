"""What a run was asked: its SLOs and when its load ended, as far as its page draws them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.experiment.model import PercentileSlo, Slo
from harness.verdict.recorded import RecordedRun


@dataclass(frozen=True, slots=True)
class Asked:
    """`load_end_s`: when the last clients arrived, in seconds of the run; None where it is not known."""

    slos: Mapping[str, Slo] = field(default_factory=dict)
    load_end_s: float | None = None

    def percentile(self, slo: str | None, table: str, column: str) -> float:
        """Which percentile an SLO is about, or else the first one on that column of the table, or else 95."""
        on_column = [name for name, one in self.slos.items() if one.table == table and _value(one) == column]
        for name in (slo or "", *on_column):
            found = self.slos.get(name)
            if isinstance(found, PercentileSlo):
                return found.percentile
        return 95.0


def _value(slo: Slo) -> str | None:
    return slo.value if isinstance(slo, PercentileSlo) else None


def asked(run: RecordedRun) -> Asked:
    return Asked(run.slos, run.load_end_s)
