"""`Gate`: the base of every kind of gate, built-in or of users' own. How to write one: docs/extending.md.

A kind is one file: a frozen model with its YAML keys, its checks before a run, its judgement after it, and its
label. Nothing outside of that file knows the kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from harness.diagnostics import Diagnostic
from harness.experiment.model import GateDefinition
from harness.gates.pool import pool_by_run
from harness.gates.result import GateResult
from harness.history.read import History
from harness.sli.base import SliResult, Slo
from harness.sli.statistics import CONFIDENCE
from harness.sli.threshold import Threshold
from harness.system import System


@dataclass(frozen=True, slots=True)
class CheckContext:
    """What a gate is checked against before a run. Times in seconds of the run.

    `system` None: it could not be loaded. `slos` None: their file could not be read; one of them is None when
    it is not valid. `faults_end_s`, `run_end_s`: when the last fault ends and when the run is over at the
    latest; `last_fault_start_s`: when the last fault begins; None where that is not known, or there is no fault.
    """

    system: System | None
    slos: Mapping[str, Slo | None] | None
    faults_end_s: float | None
    run_end_s: float | None
    last_fault_start_s: float | None = None


@dataclass(frozen=True, slots=True)
class JudgeContext:
    """What a gate is judged with, besides the history. `name`: what the results are called.

    `control`: the history of the same run without faults, where a gate of the experiment needs it. `confidence`: of
    each bound and of each claim.
    """

    name: str
    slos: Mapping[str, Slo]
    control: History | None = None
    confidence: float = CONFIDENCE


@dataclass(frozen=True, slots=True)
class PooledRun:
    """A run of a pool: its main history, and that of its control run, where there is one."""

    history: History
    control: History | None = None

    @property
    def seed(self) -> int:
        return self.history.environment.seed


@dataclass(frozen=True, slots=True)
class Objective:
    """The SLO that a gate is about, with what the gate changes of it."""

    slo: Slo
    where: str | None
    threshold: Threshold


class Gate(GateDefinition):
    """A claim about a run. A subclass sets `key`, has a field of that name, and implements `label` and `judge`."""

    needs_control: ClassVar[bool] = False
    """Whether it is judged with the history of the same run without faults (`JudgeContext.control`)."""

    @property
    def label(self) -> str:
        """What the gate is called when it has no name."""
        raise NotImplementedError(f"{type(self).__name__} has no label")

    @property
    def distinctions(self) -> tuple[str, ...]:
        """Texts that distinguish it from gates of the same label; they are appended to the label in this order."""
        return ()

    @property
    def slo_name(self) -> str | None:
        """The SLO that it is about. Arms look for it; an experiment without `slos.yaml` must not have one."""
        return None

    @property
    def can_abort(self) -> bool:
        """Whether a breach by what is recorded so far is reason enough to stop the run (`abort_if`)."""
        return False

    @property
    def fault_key(self) -> str | None:
        """The YAML key that makes it a gate about a fault; None when it can hold without any."""
        return None

    def check(self, context: CheckContext) -> Iterator[Diagnostic]:
        """What does not fit, at paths below the gate. Keys, types and units are checked already."""
        return iter(())

    def judge(self, history: History, context: JudgeContext) -> Iterable[GateResult]:
        """One result, or one for each group. HistoryError and InvalidValue make the gate an error."""
        raise NotImplementedError(f"{type(self).__name__} does not say how it is judged")

    def judge_pooled(self, runs: Sequence[PooledRun], context: JudgeContext) -> Iterable[GateResult]:
        """The results of several runs with different seeds, together.

        By default each run is judged by itself, and the worst counts: the gate states a fact of every run. A gate that
        states something about all clients judges the rows of all runs together.
        """
        return pool_by_run(
            [
                (run.seed, tuple(self.judge(run.history, replace(context, control=run.control))))
                for run in runs
            ]
        )

    def objective(self, slos: Mapping[str, Slo]) -> Objective | None:
        """What charts of ablation arms show; None for a gate that is about no SLO."""
        return None

    def narrowed(self, where: str) -> Self:
        """The same gate on those rows only for which a condition is true as well, for an arm's `where`."""
        return self

    def fault_rows(
        self, histories: Sequence[History], slos: Mapping[str, Slo], confidence: float = CONFIDENCE
    ) -> tuple[SliResult, ...] | None:
        """The SLI on the rows of these histories that the faults can have changed, one for each group.

        Arms test the difference to the main run on them. None for a gate that has no such rows: its main run must pass
        where its arm fails.
        """
        return None

    def steady_state(self) -> Gate | None:
        """The gate that the time before the first fault must not refute; None when that time is not judged."""
        return None
