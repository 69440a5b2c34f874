"""`slo`: an SLO holds with confidence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from harness.gates.base import Gate, JudgeContext, PooledRun
from harness.gates.during import DURING_TEXT, During, during_key
from harness.gates.registry import gate_kind
from harness.gates.result import GateResult
from harness.gates.slo_based import SloBasedGate
from harness.history.read import History
from harness.sli.query import Window, windows


@gate_kind
class SloGate(SloBasedGate):
    """The SLO holds with confidence. `during`: which samples count, by when they were determined."""

    key: ClassVar = "slo"

    slo: str
    """The SLO that must hold, by its name in slos.yaml."""
    during: During = "all"
    """Which samples count, by when they were determined."""

    @property
    def label(self) -> str:
        return f"{self.slo}{DURING_TEXT[self.during]}"

    @property
    def fault_key(self) -> str | None:
        return during_key(self.during)

    @property
    def can_abort(self) -> bool:
        return True

    def window(self, history: History) -> Window:
        return windows(history)[self.during]

    def judge_pooled(self, runs: Sequence[PooledRun], context: JudgeContext) -> Iterable[GateResult]:
        return self.judge_rows(runs, context)

    def steady_state(self) -> Gate:
        return steady_state_gate(self)


def slo_gate(slo: str) -> Gate:
    """The gate of an SLO as it is stated: all samples, its own threshold."""
    return SloGate(slo=slo)


def steady_state_gate(gate: SloBasedGate) -> Gate:
    """The SLO of a gate before the first fault, called as the SLO is."""
    # Not validated again: the values are parsed already.
    return SloGate.model_construct(
        slo=gate.slo_name,
        where=gate.where,
        target=gate.target,
        at_most=gate.at_most,
        during="before",
        name=gate.slo_name,
    )
