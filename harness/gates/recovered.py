"""`recovered`: an SLO holds again, some time after the last fault."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar

from harness.diagnostics import Code, Diagnostic
from harness.experiment.units import Duration
from harness.gates.base import CheckContext, Gate, JudgeContext, PooledRun
from harness.gates.registry import gate_kind
from harness.gates.result import GateResult
from harness.gates.slo import steady_state_gate
from harness.gates.slo_based import SloBasedGate
from harness.history.read import History
from harness.sli.query import NEVER, Window


@gate_kind
class RecoveredGate(SloBasedGate):
    """From `within` after the last fault's end on, the SLO holds again."""

    key: ClassVar = "recovered"

    recovered: str
    """The SLO that must hold again, by its name in slos.yaml."""
    within: Duration
    """How long after the end of the last fault it may take."""

    @property
    def label(self) -> str:
        return f"{self.recovered} recovered"

    @property
    def distinctions(self) -> tuple[str, ...]:
        where, threshold = super().distinctions
        return where, f" within {self.within:g} s{threshold}"

    @property
    def fault_key(self) -> str:
        return "recovered"

    def window(self, history: History) -> Window:
        end_s = history.metadata.fault_end_s
        return NEVER if end_s is None else Window(end_s + self.within)

    def check(self, context: CheckContext) -> Iterator[Diagnostic]:
        yield from super().check(context)
        if context.faults_end_s is None or context.run_end_s is None:
            return
        from_s = context.faults_end_s + self.within
        if from_s >= context.run_end_s:
            yield Diagnostic(
                Code.BAD_TIMING,
                f"the gate counts samples from {from_s:g}s on",
                f"the run is over at {context.run_end_s:g}s; load longer, or end the faults earlier",
                path=("within",),
            )

    def judge_pooled(self, runs: Sequence[PooledRun], context: JudgeContext) -> Iterable[GateResult]:
        return self.judge_rows(runs, context)

    def steady_state(self) -> Gate:
        return steady_state_gate(self)
