"""Making a schedule that violates something smaller, in terms of what it means rather than of its bytes.

Each step is one change that a person would try: leave a fault out, hit one node in place of a role, make it shorter,
milder, begin at a round time, let fewer clients arrive. A change stays when the same property is still violated. At the
end every fault is needed: without it the property holds (1-minimal).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain

from harness.experiment.load import Load
from harness.experiment.order import FIFO
from harness.explore.schedule import Place, Placed, Schedule, ordered, subsets
from harness.explore.space import LENGTHS_S, Space
from harness.explore.trial import Subject, Trial, Violation

MAX_RUNS = 60
"""Trials that one shrinking takes at most."""

type Try = Callable[[Subject, Schedule], Trial]


@dataclass(frozen=True, slots=True)
class Shrunk:
    """The smallest schedule found. `runs`: trials that it took.

    `needed`: for each fault whether the property holds without it; None where the limit of trials came first.
    """

    subject: Subject
    schedule: Schedule
    violation: Violation
    runs: int
    needed: tuple[bool | None, ...]

    @property
    def minimal(self) -> bool:
        return all(self.needed)


class Shrinker:
    """Shrinks one violation with one seed. `run`: how a trial is run."""

    def __init__(self, space: Space, violation: Violation, run: Try, max_runs: int = MAX_RUNS) -> None:
        self._space = space
        self._violation = violation
        self._run = run
        self._left = max_runs
        self._known: dict[tuple[object, Schedule], Violation | None] = {}
        self._max_runs = max_runs

    def shrink(self, subject: Subject, schedule: Schedule) -> Shrunk:
        # Leaving out comes first: every later trial is cheaper for it.
        schedule = self._reduce(subject, schedule, _without_some)
        subject = self._usual_order(subject, schedule)
        subject = self._fewer_clients(subject, schedule)
        schedule = self._reduce(subject, schedule, lambda one: _simpler(one, self._space))
        schedule = self._reduce(subject, schedule, _without_some)
        needed = tuple(self._is_needed(subject, rest) for _, rest in subsets(schedule))
        last = self._known.get(_key(subject, schedule)) or self._violation
        return Shrunk(subject, schedule, last, self._max_runs - self._left, needed)

    def _violates(self, subject: Subject, schedule: Schedule) -> bool | None:
        """None where no trial is left."""
        key = _key(subject, schedule)
        if key not in self._known:
            if self._left <= 0:
                return None
            self._left -= 1
            self._known[key] = self._run(subject, schedule).violates(self._violation)
        return self._known[key] is not None

    def _is_needed(self, subject: Subject, rest: Schedule) -> bool | None:
        violated = self._violates(subject, rest)
        return None if violated is None else not violated

    def _reduce(
        self, subject: Subject, schedule: Schedule, candidates: Callable[[Schedule], Iterator[Schedule]]
    ) -> Schedule:
        """Take the first simpler schedule that violates it too, until there is none."""
        while True:
            for simpler in candidates(schedule):
                if self._space.fits(simpler) and self._violates(subject, simpler):
                    schedule = simpler
                    break
            else:
                return schedule

    def _usual_order(self, subject: Subject, schedule: Schedule) -> Subject:
        """asyncio's own order, if it is violated with that, too."""
        usual = replace(subject, order=FIFO)
        return usual if subject.order != FIFO and self._violates(usual, schedule) else subject

    def _fewer_clients(self, subject: Subject, schedule: Schedule) -> Subject:
        """Half the clients at a time, and a shorter load, as long as it is violated."""
        for smaller in chain.from_iterable((_rates(subject), _ends(subject, schedule))):
            if self._violates(smaller, schedule):
                return self._fewer_clients(smaller, schedule)
        return subject


def _key(subject: Subject, schedule: Schedule) -> tuple[object, Schedule]:
    loads = tuple((name, load.model_dump_json()) for name, load in subject.load.items())
    return ((loads, subject.order), schedule)


def _without_some(schedule: Schedule) -> Iterator[Schedule]:
    """Halves first where there are many, then one fault less."""
    half = len(schedule) // 2
    if half > 1:
        yield schedule[:half]
        yield schedule[half:]
    for _, rest in subsets(schedule):
        yield rest


def _simpler(schedule: Schedule, space: Space) -> Iterator[Schedule]:
    for index, fault in enumerate(schedule):
        rest = schedule[:index] + schedule[index + 1 :]
        for simpler in _simpler_fault(fault, space):
            yield ordered((*rest, simpler))


def _simpler_fault(fault: Placed, space: Space) -> Iterator[Placed]:
    if fault.when:
        yield replace(fault, when="")
    if fault.place.role is not None or fault.place.zone is not None:
        for name in sorted(fault.place.nodes(space.system)):
            yield replace(fault, place=Place(node=name))
    if fault.for_s:
        shorter = [one for one in LENGTHS_S if one < fault.for_s]
        # The shortest first: where it is enough no other has to be tried.
        yield from (replace(fault, for_s=one) for one in dict.fromkeys((*shorter[:1], *shorter[-1:])))
    choice = next((one for one in space.choices if one.fault == fault.fault), None)
    if choice is not None and fault.values in choice.values:
        milder = choice.values[: choice.values.index(fault.values)]
        yield from (replace(fault, values=one) for one in dict.fromkeys((*milder[:1], *milder[-1:])))
    for step in (10.0, 5.0):
        round_s = fault.at_s - fault.at_s % step
        if fault.at_s % step and round_s >= space.begin_s:
            yield replace(fault, at_s=round_s)


def _rates(subject: Subject) -> Iterator[Subject]:
    """Half as many clients, at least 4 in all."""
    loads = subject.load.items()
    if all(isinstance(load.arrive, float) and load.expected_clients >= 8 for _, load in loads):
        slower: Mapping[str, Load] = {
            name: load.model_copy(update={"arrive": load.arrive / 2})
            for name, load in loads
            if isinstance(load.arrive, float)
        }
        yield replace(subject, load=slower)


def _ends(subject: Subject, schedule: Schedule) -> Iterator[Subject]:
    """A load that ends with the last fault."""
    end_s = max((fault.end_s for fault in schedule), default=1.0) + 1.0
    loads = subject.load.items()
    if all(load.for_ is not None and load.for_ > end_s for _, load in loads):
        yield replace(subject, load={name: load.model_copy(update={"for_": end_s}) for name, load in loads})
