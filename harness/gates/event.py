"""`event`: an event follows every fault in time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import ClassVar, Literal

from harness.diagnostics import Diagnostic, unknown_name
from harness.experiment.units import PositiveDuration
from harness.gates.base import CheckContext, Gate, JudgeContext
from harness.gates.registry import gate_kind
from harness.gates.result import GateResult, Verdict, no_samples
from harness.history.metadata import FaultRecord
from harness.history.read import History
from harness.history.table import literal
from harness.sli.formatting import duration
from harness.sli.statistics import ratio_bounds


@gate_kind
class EventGate(Gate):
    """The event is seen within this time of every fault's start (`of: fault`) or end (`of: recovery`)."""

    key: ClassVar = "event"

    event: str
    """The event of the system that must be seen."""
    within: PositiveDuration
    """How soon after each fault's start, or end, it must be seen."""
    of: Literal["fault", "recovery"] = "fault"
    """Whether time counts from the start of each fault or from its end."""

    @property
    def label(self) -> str:
        return f"{self.event} after {self.of}"

    @property
    def distinctions(self) -> tuple[str, ...]:
        return "", f" within {self.within:g} s"

    @property
    def fault_key(self) -> str:
        return "event"

    def check(self, context: CheckContext) -> Iterator[Diagnostic]:
        system = context.system
        if system is not None and self.event not in system.events:
            unknown = unknown_name("event", self.event, system.events, f"system {system.name}")
            yield unknown.below(("event",))

    def judge(self, history: History, context: JudgeContext) -> Iterable[GateResult]:
        """Seen in time after each fault, and more often than before it; `value` is the longest wait."""
        seen = history.query(f"SELECT t_s FROM events WHERE event = {literal(self.event)} ORDER BY t_s")
        return [self._judge(history, [float(row[0]) for row in seen], context.name)]

    def _judge(self, history: History, times: list[float], name: str) -> GateResult:
        def undecided(reason: str, samples: int = 0) -> GateResult:
            return no_samples(name, threshold=self.within, unit="s", samples=samples, reason=reason)

        faults = history.metadata.faults
        if not faults:
            return undecided("there is no fault for the event to follow")
        since = "start" if self.of == "fault" else "end"
        waits: list[float] = []
        missed: list[str] = []
        counted = 0
        moments = [self._moment(fault) for fault in faults]
        for fault, moment in zip(faults, moments, strict=True):
            if moment is None:
                return undecided(f"{fault.name} did not {since}")
            if not any(fault.exposure.values()):
                return undecided(f"{fault.name} affected no traffic, so the event had no cause")
            # What comes after a later fault may be that one's.
            until = min((m for m in moments if m is not None and m > moment), default=math.inf)
            until = min(until, moment + self.within)
            inside = [time for time in times if moment <= time <= until]
            counted += len(inside)
            if not inside:
                missed.append(fault.name)
                continue
            begin = max(0.0, moment - self.within)
            usual = sum(begin <= time < moment for time in times)
            if usual and not _more(usual, moment - begin, len(inside), until - moment):
                return undecided(
                    f"{self.event} is seen {_times(usual)} in the {duration(moment - begin)} before the "
                    f"{since} of {fault.name} and {_times(len(inside))} in the {duration(until - moment)} "
                    "after it, which does not show that it answers the fault",
                    samples=len(inside),
                )
            # As many as are usual may be of those that went on anyway.
            waits.append(inside[usual] - moment)
        within = duration(self.within)
        return GateResult(
            name=name,
            verdict=Verdict.FAILED if missed else Verdict.PASSED,
            reason=f"no {self.event} within {within} of the {since} of {', '.join(missed)}"
            if missed
            else f"{self.event} is seen {duration(max(waits))} after the {since} of the fault, at most {within}",
            value=None if missed else max(waits),
            interval=None,
            threshold=self.within,
            unit="s",
            samples=counted,
        )

    def _moment(self, fault: FaultRecord) -> float | None:
        if self.of == "recovery" and fault.for_s > 0:
            return fault.undone_at_s
        return fault.applied_at_s


def _more(usual: int, usual_s: float, found: int, found_s: float) -> bool:
    """Whether events are more frequent than usual, with 95 % confidence.

    Were they not, each of them all would fall into the time looked at with the probability of its share of
    both times (exact conditional test of two Poisson rates: Przyborowski and Wilenski, Biometrika 31, 1940).
    """
    return found > usual and ratio_bounds(found, usual + found)[0] > found_s / (usual_s + found_s)


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"
