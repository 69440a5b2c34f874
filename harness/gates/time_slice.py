"""`time_slice`: the SLI holds in so many slices of time. `burn_rate`: the error budget is not used up too fast."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Annotated, ClassVar

from pydantic import Field

from harness.diagnostics import Code, Diagnostic
from harness.experiment.units import PositiveDuration, Ratio
from harness.gates.base import CheckContext, Gate, JudgeContext, Objective
from harness.gates.during import DURING_TEXT, During, during_key, load_end_s
from harness.gates.registry import gate_kind
from harness.gates.result import GateResult, Verdict, no_samples
from harness.gates.rows import limits_verdict
from harness.gates.slo import steady_state_gate
from harness.gates.slo_based import SloBasedGate
from harness.history.metadata import HistoryError
from harness.history.read import History
from harness.sli.base import SliResult
from harness.sli.formatting import clock, duration, number, ratio
from harness.sli.query import Window, windows
from harness.sli.ratio import RatioSlo, check_share

MAX_SLICES = 1000
"""More slices than that are too short for the run."""


class _SlicedGate(SloBasedGate):
    def steady_state(self) -> Gate:
        return steady_state_gate(self)

    def stated(self, context: JudgeContext) -> Objective:
        objective = self.objective(context.slos)
        if objective is None:
            raise HistoryError(f"there is no SLO '{self.slo_name}'")
        return objective

    def figures(self, history: History, objective: Objective, window: Window) -> list[SliResult]:
        """The SLI of each group in a window; without rows, one without samples."""
        slo = objective.slo
        return [*slo.measure(history, self.where, window, objective.threshold)] or [SliResult(None, 0)]


@gate_kind
class TimeSliceGate(_SlicedGate):
    """In at least `share` of the slices of time the SLI is as good as its threshold.

    A slice without samples is not good. It is an exact fact of this run, no claim about other runs: slices that follow
    each other are not independent.
    """

    key: ClassVar = "time_slice"

    time_slice: str
    """The SLO whose SLI and threshold count, by its name in slos.yaml."""
    length: PositiveDuration
    """How long a slice is."""
    share: Ratio = 1.0
    """At least this share of the slices is good; all of them by default."""
    during: During = "all"
    """Which part of the run is sliced. All of it ends with the last arrival."""

    @property
    def label(self) -> str:
        return f"{self.time_slice} in slices of {duration(self.length)}{DURING_TEXT[self.during]}"

    @property
    def fault_key(self) -> str | None:
        return during_key(self.during)

    def check(self, context: CheckContext) -> Iterator[Diagnostic]:
        yield from super().check(context)
        if context.run_end_s is not None and context.run_end_s / self.length > MAX_SLICES:
            yield Diagnostic(
                Code.OUT_OF_RANGE,
                f"there are more than {MAX_SLICES:,} slices of {self.length:g}s",
                "make them longer",
                path=("length",),
            )

    def judge(self, history: History, context: JudgeContext) -> Iterable[GateResult]:
        """A slice is good when the SLI is good in each of its groups."""
        objective = self.stated(context)
        part = windows(history)[self.during]
        start_s, end_s = part.start_s or 0.0, min(load_end_s(history), part.end_s or math.inf)
        count = max(0, math.floor((end_s - start_s) / self.length + 1e-9)) if start_s < math.inf else 0
        if not count:
            reason = f"no slice of {duration(self.length)} fits{DURING_TEXT[self.during] or ' into the run'}"
            return [
                no_samples(context.name, threshold=self.share, unit="ratio", slo=self.slo_name, reason=reason)
            ]
        starts = [start_s + index * self.length for index in range(min(count, MAX_SLICES))]
        found = [self.figures(history, objective, Window(at_s, at_s + self.length)) for at_s in starts]
        bad = [at_s for at_s, groups in zip(starts, found, strict=True) if not _all_good(groups, objective)]
        empty = sum(any(not one.samples for one in groups) for groups in found)
        good = (len(starts) - len(bad)) / len(starts)
        sure = sum(_all_good(groups, objective, bounded=True) for groups in found)
        verdict = limits_verdict(sure / len(starts), good, self.share, None)
        missing = len(starts) - len(bad) - sure
        first = f", the first bad one from {clock(bad[0])} to {clock(bad[0] + self.length)}" if bad else ""
        also = f", {empty:,} without samples" if empty else ""
        also += f", {missing:,} only if clients that did not report were well served" if missing else ""
        return [
            GateResult(
                name=context.name,
                slo=self.slo_name,
                verdict=verdict,
                reason=f"{len(starts) - len(bad):,} of {len(starts):,} slices are good ({ratio(good)}, at least "
                f"{ratio(self.share)}){first}{also}",
                value=good,
                interval=None,
                threshold=self.share,
                unit="ratio",
                samples=len(starts),
                unknown=empty,
            )
        ]


def _all_good(groups: Iterable[SliResult], objective: Objective, *, bounded: bool = False) -> bool:
    """`bounded`: with the missing clients as the worst."""
    threshold = objective.threshold
    for one in groups:
        value = one.bounded if bounded and one.missing else one.value
        if not one.samples or value is None or not objective.slo.meets(value, threshold):
            return False
    return True


@gate_kind
class BurnRateGate(_SlicedGate):
    """Never is the error budget used `threshold` times as fast as it lasts, in a long and in a short window both.

    It is the alert of the SRE workbook with two windows (Beyer et al., The site reliability workbook, 2018, chapter 5,
    "Multiwindow, multi-burn-rate alerts"), which must not fire in this run: an exact fact of this run. The burn rate of
    a window is its share of bad rows, divided by the share that the SLO allows. A window without rows burns nothing.
    """

    key: ClassVar = "burn_rate"

    burn_rate: str
    """An SLO that is a ratio, by its name in slos.yaml."""
    threshold: Annotated[float, Field(gt=0)]
    """The burn rate at which the alert fires, such as 14.4."""
    over: PositiveDuration
    """The long window. It sees whether the loss matters."""
    short: PositiveDuration | None = None
    """The short window, which sees whether it goes on; by default a twelfth of the long one."""

    @property
    def can_abort(self) -> bool:
        return True

    @property
    def label(self) -> str:
        return f"{self.burn_rate} burn rate over {duration(self.over)}"

    def check(self, context: CheckContext) -> Iterator[Diagnostic]:
        yield from super().check(context)
        slo = (context.slos or {}).get(self.burn_rate)
        if slo is not None and not isinstance(slo, RatioSlo):
            found = f"{self.burn_rate} is a {slo.kind}"
            yield Diagnostic(Code.CONFLICT, found, "a burn rate needs a ratio", path=("burn_rate",))
        if self.target is not None:
            yield from check_share(self.target)
        if self._short_s > self.over:
            yield Diagnostic(
                Code.OUT_OF_RANGE,
                f"the short window is {self._short_s:g}s",
                f"at most the long one, {self.over:g}s",
                path=("short",),
            )
        if context.run_end_s is not None and 2 * context.run_end_s / self._short_s > MAX_SLICES:
            found = f"the short window of {self._short_s:g}s is looked at more than {MAX_SLICES:,} times"
            path = ("over",) if self.short is None else ("short",)
            yield Diagnostic(Code.OUT_OF_RANGE, found, "make it longer", path=path)

    @property
    def _short_s(self) -> float:
        return self.over / 12 if self.short is None else self.short

    def judge(self, history: History, context: JudgeContext) -> Iterable[GateResult]:
        """Looked at every half of the short window. `value`: the highest burn rate that both windows had together."""
        objective = self.stated(context)
        if not isinstance(objective.slo, RatioSlo):
            raise HistoryError(f"{self.slo_name} is a {objective.slo.kind}; a burn rate needs a ratio")
        end_s, step_s = load_end_s(history), self._short_s / 2
        highest, at_s, looks = 0.0, 0.0, 0
        samples = sum(one.samples for one in self.figures(history, objective, Window()))
        if not samples:
            return [no_samples(context.name, threshold=self.threshold, unit="", slo=self.slo_name)]
        for index in range(1, min(math.ceil(end_s / step_s), MAX_SLICES) + 1):
            now_s, looks = index * step_s, looks + 1
            short = self._burn(history, objective, now_s, self._short_s)
            # The lower one of both counts, so a calm short window needs no look at the long one.
            both = min(short, self._burn(history, objective, now_s, self.over)) if short > highest else short
            if both > highest:
                highest, at_s = both, now_s
        when = f" at {clock(at_s)}" if highest else ""
        return [
            GateResult(
                name=context.name,
                slo=self.slo_name,
                verdict=Verdict.PASSED if highest < self.threshold else Verdict.FAILED,
                reason=f"the highest burn rate is {number(highest)}{when}, the alert fires at "
                f"{number(self.threshold)} (over {duration(self.over)} and {duration(self._short_s)})",
                value=highest,
                interval=None,
                threshold=self.threshold,
                unit="",
                samples=samples,
            )
        ]

    def _burn(self, history: History, objective: Objective, now_s: float, length_s: float) -> float:
        """Of the worst group."""
        allowed = 1 - objective.threshold.value
        found = self.figures(history, objective, Window(now_s - length_s, now_s))
        return max((1 - one.value) / allowed if one.value is not None else 0.0 for one in found)
