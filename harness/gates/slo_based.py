"""What gates on an SLO have in common: narrowing it, changing its threshold, judging it on a window of time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

from harness.diagnostics import Code, Diagnostic, unknown_name
from harness.experiment.units import Ratio
from harness.gates.base import CheckContext, Gate, JudgeContext, Objective, PooledRun
from harness.gates.result import GateResult, Verdict, no_samples
from harness.history.metadata import HistoryError
from harness.history.read import History
from harness.sli.base import SliResult, Slo
from harness.sli.checks import check_where
from harness.sli.query import Window
from harness.sli.ratio import check_share
from harness.sli.statistics import CONFIDENCE
from harness.sli.threshold import Threshold

_VERDICTS = {True: Verdict.PASSED, False: Verdict.FAILED, None: Verdict.INCONCLUSIVE}


class SloBasedGate(Gate):
    """Base of the gates on an SLO. The field named by `key` holds the SLO's name."""

    where: str | None = None
    """Only samples for which this SQL condition is true."""
    target: Ratio | None = None
    """Another threshold than the SLO's own (of a ratio)."""
    at_most: str | None = None
    """Another threshold than the SLO's own (of a percentile), with its unit."""

    def window(self, history: History) -> Window:
        """Which rows count."""
        raise NotImplementedError

    @property
    def slo_name(self) -> str:
        return str(getattr(self, self.key))

    @property
    def distinctions(self) -> tuple[str, ...]:
        return (
            "" if self.where is None else f" where {self.where}",
            ("" if self.target is None else f" at least {self.target * 100:.10g}%")
            + ("" if self.at_most is None else f" at most {self.at_most}"),
        )

    def check(self, context: CheckContext) -> Iterator[Diagnostic]:
        if context.slos is None:
            return
        if self.slo_name not in context.slos:
            yield unknown_name("SLO", self.slo_name, context.slos).below((self.key,))
        slo = context.slos.get(self.slo_name)
        if slo is None:
            if self.target is not None:
                yield from check_share(self.target)
            return
        yield from check_where(self.where, slo, context.system)
        for key, value in self._overrides().items():
            if key == slo.threshold_key:
                yield from slo.check_threshold(value)
            else:
                yield Diagnostic(
                    Code.CONFLICT,
                    f"{self.slo_name} is a {slo.kind}",
                    f"its threshold is {slo.threshold_key}, such as {slo.threshold_key}: {slo.threshold_example}",
                    path=(key,),
                    about_key=True,
                )

    def judge(self, history: History, context: JudgeContext) -> Iterable[GateResult]:
        return self.judge_rows([PooledRun(history)], context)

    def judge_rows(self, runs: Sequence[PooledRun], context: JudgeContext) -> Iterable[GateResult]:
        """On the rows of all runs together; clients of different runs are different ones. For `judge_pooled`."""
        objective = self.objective(context.slos)
        if objective is None:
            raise HistoryError(
                f"there is no SLO '{self.slo_name}'; there are {', '.join(context.slos) or 'none'}"
            )
        slo, threshold = objective.slo, objective.threshold
        counted = [
            tuple(slo.count(run.history, self.where, self.window(run.history), threshold)) for run in runs
        ]
        empty = [
            run.seed
            for run, rows in zip(runs, counted, strict=True)
            if not any(one.counts.samples for one in rows)
        ]
        if 0 < len(empty) < len(runs):
            # A run that is silent is not outvoted by those that are not.
            seeds = ", ".join(map(str, empty))
            return [
                no_samples(
                    context.name,
                    threshold=threshold.value,
                    unit=threshold.unit,
                    slo=self.slo_name,
                    reason=f"no samples with seed {seeds}",
                )
            ]
        untested = self._untested_groups(slo, runs, threshold)
        # Without rows there is no group either.
        return [
            self._result(one, context.name, threshold, is_untested=one.group in untested)
            for one in [*slo.pool(counted, threshold, context.confidence)] or [SliResult(None, 0)]
        ]

    def _untested_groups(self, slo: Slo, runs: Sequence[PooledRun], threshold: Threshold) -> set[str | None]:
        """The groups that have no row from the first fault's start on, though the gate is about that time too."""
        since = []
        for run in runs:
            start_s, window = run.history.metadata.fault_start_s, self.window(run.history)
            if start_s is not None and not (window.end_s is not None and window.end_s <= start_s):
                since.append(slo.count(run.history, self.where, window & Window(start_s), threshold))
        return {one.group for one in slo.pool(since, threshold) if not one.samples}

    def fault_rows(
        self, histories: Sequence[History], slos: Mapping[str, Slo], confidence: float = CONFIDENCE
    ) -> tuple[SliResult, ...] | None:
        """Rows of the faults' window, and the first row after it of each client that was there at its end: what it was
        doing then. All rows of a gate that counts only what comes after the faults, and of a run without faults, where
        the load is what tests."""
        objective = self.objective(slos)
        if objective is None:
            return ()
        counted = []
        for history in histories:
            start_s, end_s = history.metadata.fault_start_s, history.metadata.fault_end_s
            window = self.window(history)
            if (
                start_s is not None
                and end_s is not None
                and (window.start_s is None or window.start_s < end_s)
            ):
                window &= Window(start_s, end_s, under_way=window.end_s is None or window.end_s > end_s)
            counted.append(objective.slo.count(history, self.where, window, objective.threshold))
        return tuple(objective.slo.pool(counted, objective.threshold, confidence))

    def objective(self, slos: Mapping[str, Slo]) -> Objective | None:
        slo = slos.get(self.slo_name)
        return None if slo is None else Objective(slo, self.where, slo.threshold(self._overrides()))

    def narrowed(self, where: str) -> Self:
        both = where if self.where is None else f"({self.where}\n) and ({where}\n)"
        return self.model_copy(update={"where": both})

    def _overrides(self) -> dict[str, Any]:
        found = {"target": self.target, "at_most": self.at_most}
        return {key: value for key, value in found.items() if value is not None}

    def _result(
        self, measured: SliResult, name: str, threshold: Threshold, *, is_untested: bool
    ) -> GateResult:
        name = name if measured.group is None else f"{name}[{measured.group}]"
        if not measured.samples:
            silent = f" ({measured.missing:,} clients did not report)" if measured.missing else ""
            return no_samples(
                name,
                threshold=threshold.value,
                unit=threshold.unit,
                slo=self.slo_name,
                missing=measured.missing,
                reason=f"no samples{silent}",
            )
        if is_untested:
            return no_samples(
                name,
                threshold=threshold.value,
                unit=threshold.unit,
                slo=self.slo_name,
                samples=measured.samples,
                reason="all samples are from before the first fault, so the fault tests nothing",
            )
        return GateResult(
            name=name,
            slo=self.slo_name,
            verdict=_VERDICTS[measured.holds],
            reason=measured.reason,
            value=measured.value,
            interval=measured.interval,
            threshold=threshold.value,
            unit=threshold.unit,
            samples=measured.samples,
            effective=None if measured.effective is None else round(measured.effective, 1),
            unknown=measured.unknown,
            missing=measured.missing,
            bounded=measured.bounded,
            needs=measured.needs,
        )
