"""`compare`: the SLI is not worse than in the control run, the same run without faults."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import ClassVar, Literal

from harness.gates.base import JudgeContext, PooledRun
from harness.gates.comparison import ComparingGate, Side, compare_pooled
from harness.gates.during import DURING_TEXT, During
from harness.gates.registry import gate_kind
from harness.gates.result import GateResult
from harness.history.metadata import HistoryError
from harness.history.read import History
from harness.sli.query import windows
from harness.sli.threshold import parse_threshold


@gate_kind
class CompareGate(ComparingGate):
    """Compared with the control run the SLI is worse by at most `margin`, with confidence.

    The control run has the same load and the same seed, and no faults. Clients are paired: each one arrives in both
    runs at the same moment and draws the same random numbers.
    """

    key: ClassVar = "compare"
    needs_control: ClassVar = True

    compare: str
    """The SLO whose SLI is compared, by its name in slos.yaml."""
    to: Literal["control"] = "control"
    """What it is compared with: the same run without faults."""
    during: During = "all"
    """Which part of both runs counts; the times are those of this run's faults."""

    @property
    def label(self) -> str:
        return f"{self.compare} compared to {self.to}{DURING_TEXT[self.during]}"

    @property
    def fault_key(self) -> str:
        return "compare"

    def judge(self, history: History, context: JudgeContext) -> Iterable[GateResult]:
        return self.judge_pooled([PooledRun(history, context.control)], context)

    def judge_pooled(self, runs: Sequence[PooledRun], context: JudgeContext) -> Iterable[GateResult]:
        objective = self.objective(context.slos)
        if objective is None:
            raise HistoryError(f"there is no SLO '{self.slo_name}'")
        without, with_faults = [], []
        for run in runs:
            if run.control is None:
                raise HistoryError("there is no control run to compare with")
            if run.control.metadata.failures:
                raise HistoryError(f"the control run broke: {run.control.metadata.failures[0]}")
            window = windows(run.history)[self.during]
            when = DURING_TEXT[self.during].replace("the fault", "them")
            without.append(Side("in the control run", run.control, window))
            with_faults.append(Side(f"with faults{when}", run.history, window))
        result = compare_pooled(
            context.name,
            objective,
            parse_threshold(self.margin),
            without,
            with_faults,
            context.confidence,
        )
        return [replace(result, slo=self.slo_name)]
