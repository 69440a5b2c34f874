"""`blast_radius`: what a fault is not aimed at is not affected by it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import ClassVar

from harness.diagnostics import Code, Diagnostic, unknown_name
from harness.gates.base import CheckContext, Gate, JudgeContext, PooledRun
from harness.gates.comparison import ComparingGate, Side, compare_pooled
from harness.gates.registry import gate_kind
from harness.gates.result import GateResult, no_samples
from harness.gates.slo import steady_state_gate
from harness.history.metadata import HistoryError
from harness.history.read import History
from harness.history.table import literal, quoted
from harness.sli.checks import table_columns
from harness.sli.query import windows
from harness.sli.threshold import parse_threshold


@gate_kind
class BlastRadiusGate(ComparingGate):
    """Outside the zones of the faults' targets the SLI during the faults is as good as before them, but for `margin`.

    With `where` instead of `outside` the condition selects the rows that must not be affected.
    """

    key: ClassVar = "blast_radius"

    blast_radius: str
    """The SLO whose SLI is compared, by its name in slos.yaml."""
    outside: str | None = None
    """A column of its table with a zone: rows in a zone of a fault's target do not count."""

    @property
    def label(self) -> str:
        return f"{self.blast_radius} outside the blast radius"

    @property
    def fault_key(self) -> str:
        return "blast_radius"

    def check(self, context: CheckContext) -> Iterator[Diagnostic]:
        yield from super().check(context)
        if self.outside is None and self.where is None:
            yield Diagnostic(
                Code.MISSING_KEY, "nothing says what is outside", "give 'outside', a column, or 'where'"
            )
        slo = (context.slos or {}).get(self.blast_radius)
        if slo is None or context.system is None or self.outside is None:
            return
        known = table_columns(context.system, slo.table)
        if known is not None and self.outside not in (names := [column.name for column in known]):
            yield unknown_name("column", self.outside, names, f"table {slo.table}").below(("outside",))

    def steady_state(self) -> Gate:
        return steady_state_gate(self)

    def judge(self, history: History, context: JudgeContext) -> Iterable[GateResult]:
        return self.judge_pooled([PooledRun(history)], context)

    def judge_pooled(self, runs: Sequence[PooledRun], context: JudgeContext) -> Iterable[GateResult]:
        objective = self.objective(context.slos)
        if objective is None:
            raise HistoryError(f"there is no SLO '{self.slo_name}'")
        margin, zones, before, during = parse_threshold(self.margin), set[str](), [], []
        for run in runs:
            where = None
            if self.outside is not None:
                # Each seed may draw other targets, in other zones.
                own = run.history.metadata.fault_zones
                if not own:
                    reason = "the targets of the faults have no zone; use 'where'"
                    return [no_samples(context.name, threshold=margin.value, unit=margin.unit, reason=reason)]
                where = f"{quoted(self.outside)} NOT IN ({', '.join(map(literal, own))})"
                zones |= {*own}
            times = windows(run.history)
            before.append(Side("before the fault", run.history, times["before"], where))
            during.append(Side("during the fault", run.history, times["fault"], where))
        result = compare_pooled(context.name, objective, margin, before, during, context.confidence)
        outside = f"outside {', '.join(sorted(zones))}: " if self.outside is not None else ""
        return [replace(result, slo=self.slo_name, reason=outside + result.reason)]
