"""`event`: an event follows every fault in time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from harness.diagnostics import Code, Diagnostic, unknown_name
from harness.experiment.units import PositiveDuration
from harness.gates.base import CheckContext, Gate, JudgeContext, PooledRun
from harness.gates.during import run_end_s
from harness.gates.pool import pool_by_run
from harness.gates.registry import gate_kind
from harness.gates.result import GateResult, Verdict, no_samples
from harness.history.columns import EVENT_COLUMNS, Column
from harness.history.metadata import FaultRecord, HistoryError
from harness.history.read import History
from harness.history.table import literal
from harness.sli.checks import check_sql
from harness.sli.formatting import duration, ratio
from harness.sli.statistics import chance_of_events, chance_of_moment, combined_chance

WHERE_COLUMNS = (
    *EVENT_COLUMNS,
    Column("node", "VARCHAR", False),
    Column("fault", "VARCHAR", False),
    Column("targets", "VARCHAR[]", False),
)
"""What `where` of an event gate knows."""


@gate_kind
class EventGate(Gate):
    """The event is seen within this time of every fault's start (`of: fault`) or end (`of: recovery`).

    Events that chance alone gives with more than 5 % probability are no evidence, be they independent
    (`chance_of_events`) or in bursts (`chance_of_moment`). What is usual is
    counted in all the time of the run in which no fault is in force, nor was one in the last `within`.

    Each event answers one fault. Of faults that begin at one moment `where` must tell whose answer it is.
    """

    key: ClassVar = "event"

    event: str
    """The event of the system that must be seen."""
    within: PositiveDuration
    """How soon after each fault's start, or end, it must be seen."""
    of: Literal["fault", "recovery"] = "fault"
    """Whether time counts from the start of each fault or from its end."""
    where: str | None = None
    """Only events for which this SQL condition is true. It knows the event's `node` and `t_s`, its `fields`
    (`fields->>'reason' = 'timeout'`, `(fields->>'attempt')::int > 1`), and the fault in question: its name as
    `fault` and its nodes as `targets` (`list_contains(targets, node)`). An event for which it is null does not
    follow a fault, but counts as one that is seen without a fault."""

    @property
    def label(self) -> str:
        return f"{self.event} after {self.of}"

    @property
    def distinctions(self) -> tuple[str, ...]:
        return ("" if self.where is None else f" where {self.where}"), f" within {self.within:g} s"

    @property
    def fault_key(self) -> str:
        return "event"

    def check(self, context: CheckContext) -> Iterator[Diagnostic]:
        system = context.system
        if system is not None and self.event not in system.events:
            unknown = unknown_name("event", self.event, system.events, f"system {system.name}")
            yield unknown.below(("event",))
        if system is not None and self.where is not None:
            yield from check_sql(("where",), self.where, WHERE_COLUMNS)
        moment_s = context.last_fault_start_s if self.of == "fault" else context.faults_end_s
        if moment_s is None or context.run_end_s is None:
            return
        if moment_s + self.within > context.run_end_s:
            yield Diagnostic(
                Code.BAD_TIMING,
                f"the event may come until {moment_s + self.within:g}s",
                f"the run is over at {context.run_end_s:g}s; load longer, or give less time",
                path=("within",),
            )

    def judge(self, history: History, context: JudgeContext) -> Iterable[GateResult]:
        """Seen in time after each fault, and not by chance; `value` is the longest wait."""
        return [self._judge(history, context.name, 1 - context.confidence).result]

    def judge_pooled(self, runs: Sequence[PooledRun], context: JudgeContext) -> Iterable[GateResult]:
        """Seen in time in every run. That chance explains it in all of them is tested together (`combined_chance`)."""
        found = [self._judge(run.history, context.name, 1 - context.confidence) for run in runs]
        (pooled,) = pool_by_run([(run.seed, [one.result]) for run, one in zip(runs, found, strict=True)])
        chances = [one.chance for one in found if one.chance is not None]
        if pooled.verdict is Verdict.FAILED or len(chances) < len(runs):
            return [pooled]
        chance = combined_chance(chances)
        holds = chance <= 1 - context.confidence
        waits = [one.wait_s for one in found if one.wait_s is not None]
        return [
            replace(
                pooled,
                verdict=Verdict.PASSED if holds else Verdict.INCONCLUSIVE,
                value=max(waits, default=None),
                reason=f"{self.event} is seen in time after the {_since(self.of)} of each fault in {len(runs):,} runs, "
                f"which chance alone gives with a probability of {_percent(chance)} (at most "
                f"{_percent(1 - context.confidence)} is evidence)",
            )
        ]

    def _judge(self, history: History, name: str, max_chance: float) -> _Judged:
        def undecided(reason: str, samples: int = 0) -> _Judged:
            return _Judged(no_samples(name, threshold=self.within, unit="s", samples=samples, reason=reason))

        faults = history.metadata.faults
        if not faults:
            return undecided("there is no fault for the event to follow")
        since = _since(self.of)
        causes: list[_Cause] = []
        for fault in faults:
            moment = self._moment(fault)
            if moment is None:
                return undecided(f"{fault.name} did not {since}")
            if not fault.exposure.touched:
                return undecided(f"{fault.name} affected no traffic of clients, so the event had no cause")
            causes.append(_Cause(fault, moment, self._events(history, fault)))
        end_s = run_end_s(history)
        waits: list[float] = []
        missed: list[str] = []
        counted, highest = 0, 0.0
        doubt: GateResult | None = None
        for cause in causes:
            moment, fault = cause.moment_s, cause.fault
            until = self._until(cause, causes, end_s)
            found = cause.after(moment, until)
            rival = next(
                (c for c in causes if c is not cause and c.moment_s == moment and c.shares(found)), None
            )
            if rival is not None:
                return undecided(
                    f"{fault.name} and {rival.fault.name} {since} at one moment, and {self.event} may be the answer to "
                    "either; a 'where' with the fault's targets tells them apart",
                    samples=len(found),
                )
            counted += len(found)
            if not found:
                missed.append(fault.name)
                continue
            calm = self._calm(moment, faults, end_s)
            calm_s = sum(end - start for start, end in calm)
            window_s = until - moment
            others = cause.calm_events(calm, window_s)
            usual = len(others)
            if calm_s < window_s:
                return undecided(
                    f"only {duration(calm_s)} of the run are without a fault, too few to tell what is usual in "
                    f"{duration(window_s)}",
                    samples=len(found),
                )
            answers = [event.t_s - moment for event in found]
            chance = max(
                chance_of_events(usual, calm_s, answers, window_s),
                chance_of_moment([*answers, *others], answers[0], window_s, window_s + calm_s),
            )
            expected = math.ceil(usual * window_s / calm_s)
            if len(found) <= expected:
                chance = 1.0
            else:
                # As many as are usual may be of those that are seen anyway.
                waits.append(found[expected].t_s - moment)
            highest = max(highest, chance)
            if chance > max_chance and doubt is None:
                doubt = undecided(
                    f"{self.event} is seen {_times(len(found))} in the {duration(window_s)} after the {since} of "
                    f"{fault.name} and {_times(usual)} in {duration(calm_s)} without a fault, which chance alone gives "
                    f"with a probability of {ratio(chance, 1)} (at most {_percent(max_chance)} is evidence)"
                    + (
                        ""
                        if usual
                        else _describe_calm_time(answers[0], window_s, window_s + calm_s, max_chance)
                    ),
                    samples=len(found),
                ).result
        chance_of_all = None if missed else highest
        if doubt is not None:
            return _Judged(doubt, chance_of_all, max(waits, default=None))
        within = duration(self.within)
        unknown = sum(event.follows is None for event in causes[0].events)
        also = f" ({unknown:,} events unknown: 'where' is null)" if unknown else ""
        result = GateResult(
            name=name,
            verdict=Verdict.FAILED if missed else Verdict.PASSED,
            reason=f"no {self.event} within {within} of the {since} of {', '.join(missed)}{also}"
            if missed
            else f"{self.event} is seen {duration(max(waits))} after the {since} of the fault, at most {within}{also}",
            value=None if missed else max(waits),
            interval=None,
            threshold=self.within,
            unit="s",
            samples=counted,
            unknown=unknown,
        )
        return _Judged(result, chance_of_all, result.value)

    def _moment(self, fault: FaultRecord) -> float | None:
        if self.of == "recovery" and fault.for_s > 0:
            return fault.undone_at_s
        return fault.applied_at_s

    def _until(self, cause: _Cause, causes: Sequence[_Cause], end_s: float) -> float:
        """What comes after a later fault may be that one's."""
        later = (other.moment_s for other in causes if other.moment_s > cause.moment_s)
        return min(cause.moment_s + self.within, max(end_s, cause.moment_s), *later)

    def _calm(
        self, moment_s: float, faults: Sequence[FaultRecord], end_s: float
    ) -> list[tuple[float, float]]:
        """The times in which the event has no cause: no fault is in force, nor was one in the last `within`.

        Before a recovery its own fault is no cause.
        """
        calm, at_s = [], 0.0
        for start_s, over_s in sorted(self._disturbed(fault, moment_s) for fault in faults):
            if start_s > at_s:
                calm.append((at_s, start_s))
            at_s = max(at_s, over_s)
        return [*calm, (at_s, end_s)] if end_s > at_s else calm

    def _disturbed(self, fault: FaultRecord, moment_s: float) -> tuple[float, float]:
        start_s = fault.applied_at_s or 0.0
        over_s = start_s if fault.undone_at_s is None and fault.for_s == 0 else fault.undone_at_s
        if over_s is None:
            return start_s, math.inf
        return (over_s if self.of == "recovery" and over_s == moment_s else start_s), over_s + self.within

    def _events(self, history: History, fault: FaultRecord) -> tuple[_Event, ...]:
        targets = ", ".join(literal(target) for target in fault.targets)
        source = (
            f"SELECT *, host AS node, {literal(fault.name)} AS fault, CAST([{targets}] AS VARCHAR[]) AS targets "
            f"FROM events WHERE event = {literal(self.event)}"
        )
        where = "true" if self.where is None else self.where
        if self.where is not None:
            history.check(self.where, "events", also=("node", "fault", "targets"))
        ((_, kind, *_),) = history.query(f"DESCRIBE SELECT ({where}\n) AS follows FROM ({source})")
        if kind != "BOOLEAN":
            raise HistoryError(f"where: {where} is {kind}; it must be true or false, such as a comparison")
        rows = history.query(f"SELECT t_s, ({where}\n), row_number() OVER () FROM ({source}) ORDER BY t_s")
        return tuple(_Event(float(t_s), follows, int(row)) for t_s, follows, row in rows)


@dataclass(frozen=True, slots=True)
class _Judged:
    """`chance`: the highest probability of a fault's events without a cause; None where that is not known.

    `wait_s`: the longest wait for the event.
    """

    result: GateResult
    chance: float | None = None
    wait_s: float | None = None


@dataclass(frozen=True, slots=True)
class _Event:
    """`follows`: whether `where` is true for it; None when that is unknown. `row`: which of the events it is."""

    t_s: float
    follows: bool | None
    row: int

    @property
    def possible(self) -> bool:
        return self.follows is not False


@dataclass(frozen=True, slots=True)
class _Cause:
    """A fault, the moment from which time counts, and the events as its `where` sees them, in order."""

    fault: FaultRecord
    moment_s: float
    events: tuple[_Event, ...]

    def calm_events(self, calm: Sequence[tuple[float, float]], window_s: float) -> list[float]:
        """When the events of the calm time are on a circle: the window, then what comes after it, then before it."""
        times, passed_s = [], window_s
        for start_s, end_s in sorted(calm, key=lambda one: (one[0] < self.moment_s, one[0])):
            inside = (e.t_s for e in self.events if e.possible and start_s <= e.t_s < end_s)
            times += [passed_s + t_s - start_s for t_s in inside]
            passed_s += end_s - start_s
        return times

    def after(self, start_s: float, end_s: float) -> list[_Event]:
        return [event for event in self.events if event.follows and start_s <= event.t_s <= end_s]

    def shares(self, found: Sequence[_Event]) -> bool:
        """Whether one of these events may be the answer to this fault too."""
        rows = {event.row for event in found}
        return any(event.possible and event.row in rows for event in self.events)


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"


def _since(of: str) -> str:
    return "start" if of == "fault" else "end"


def _percent(chance: float) -> str:
    return f"{100 * chance:.2g}%"


def _describe_calm_time(wait_s: float, window_s: float, total_s: float, max_chance: float) -> str:
    """How much more time without a fault and without the event would exclude chance (`chance_of_moment`)."""
    # wait / total * (1 + window / total) = max_chance
    enough_s = (wait_s + math.sqrt(wait_s**2 + 4 * max_chance * wait_s * window_s)) / (2 * max_chance)
    more_s = enough_s - total_s
    return f"; {duration(more_s)} more without a fault and without the event would do" if more_s > 0 else ""
