"""`recovered`: an SLO holds again, some time after the last fault."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import ClassVar

from harness.diagnostics import Code, Diagnostic
from harness.experiment.units import Duration
from harness.gates.base import CheckContext, Gate, JudgeContext, PooledRun
from harness.gates.registry import gate_kind
from harness.gates.result import GateResult, Verdict
from harness.gates.slo import steady_state_gate
from harness.gates.slo_based import SloBasedGate
from harness.history.read import History
from harness.sli.query import NEVER, Window
from harness.sli.statistics import CONFIDENCE


@gate_kind
class RecoveredGate(SloBasedGate):
    """From `within` after the last fault's end on, the SLO holds again.

    Before that it must be missed, in at least one group: what never dipped has nothing to recover from. Claim it with
    `slo` and `during: after`.
    """

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

    def judge_rows(self, runs: Sequence[PooledRun], context: JudgeContext) -> Iterable[GateResult]:
        results = list(super().judge_rows(runs, context))
        if any(one.verdict is not Verdict.PASSED for one in results) or self._dipped(runs, context):
            return results
        reason = (
            f"{self.recovered} holds during the fault too, so there is nothing to recover from; use 'slo'"
        )
        return [replace(one, verdict=Verdict.INCONCLUSIVE, reason=reason) for one in results]

    def _dipped(self, runs: Sequence[PooledRun], context: JudgeContext) -> bool:
        """Whether the rows from the first fault's start until the gate's time miss the threshold, or there are none."""
        objective = self.objective(context.slos)
        if objective is None:
            return True
        counted = []
        for run in runs:
            window = Window(run.history.metadata.fault_start_s, self.window(run.history).start_s)
            counted.append(objective.slo.count(run.history, self.where, window, objective.threshold))
        found = objective.slo.pool(counted, objective.threshold, CONFIDENCE)
        return any(
            one.value is None or not objective.slo.meets(one.value, objective.threshold) for one in found
        )

    def steady_state(self) -> Gate:
        return steady_state_gate(self)
