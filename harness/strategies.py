"""Hypothesis strategies for fault schedules, for tests of one's own.

    from hypothesis import given, settings
    from harness import strategies

    @settings(deadline=None)
    @given(strategies.schedules("ledger"))
    def test_the_ledger_is_sound(schedule):
        schedule.check()

`state_machine` makes a rule-based state machine of a system, whose rules are faults, heals and clients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import yaml
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from harness.errors import HarnessError
from harness.experiment.load import Load, LoadStage
from harness.explore.schedule import Placed, ordered
from harness.explore.schedule import Schedule as Faults
from harness.explore.space import LENGTHS_S, Space
from harness.explore.start import Wishes, begin
from harness.explore.trial import Subject, Trial, run_trial

__all__ = ["Schedule", "TrialBroken", "schedules", "state_machine"]

GAPS_S = (0.0, 1.0, 2.0, 5.0, 10.0)
"""From the beginning of one fault to that of the next. Relative times survive shrinking, absolute ones do not."""


class TrialBroken(HarnessError):
    """A trial showed nothing: the harness broke, or code uses it wrongly. It is no violation."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """One schedule of a system. `faults`: in the order of time. `seed`: of the run."""

    subject: Subject
    faults: Faults
    seed: int = 1

    def run(self) -> Trial:
        """Run it in virtual time and judge it. The same schedule gives the same trial. Raises TrialBroken."""
        trial = run_trial(self.subject, self.faults, self.seed)
        if trial.broken is not None:
            raise TrialBroken(trial.broken)
        return trial

    def check(self) -> None:
        """Raises AssertionError where an invariant is violated, or an error is not handled; TrialBroken."""
        violations = self.run().violations
        if violations:
            lines = [f"{one.name}: {one.reason}" for one in violations]
            raise AssertionError("\n".join([*lines, "", self.timeline]))

    @property
    def timeline(self) -> str:
        """The faults as an experiment has them."""
        timeline = [fault.entry for fault in self.faults]
        return yaml.safe_dump({"timeline": timeline}, sort_keys=False, default_flow_style=None, width=120)

    def __repr__(self) -> str:
        faults = "; ".join(fault.describe() for fault in self.faults) or "no fault"
        return f"<{self.subject.name}, seed {self.seed}: {faults}>"


def schedules(
    system: str,
    *,
    faults: Sequence[str] = (),
    max_faults: int = 4,
    arrive_per_s: float = 2.0,
    for_s: float = 30.0,
    without: Sequence[str] = (),
    overload: bool = False,
    seed: int = 1,
) -> st.SearchStrategy[Schedule]:
    """Schedules of a system, by its name, or as module:attribute; or of an experiment file: its load and its gates.

    `faults`: only these kinds. `arrive_per_s`, `for_s`: its clients. `without`: safeguards that are off. `overload`:
    also all nodes of a role at a time. Raises InvalidSystem, UsageError.
    """
    wishes = Wishes(
        target=system,
        arrive_per_s=arrive_per_s,
        for_s=for_s,
        without=tuple(without),
        faults=tuple(faults),
        max_faults=max_faults,
        overload=overload,
    )
    subject, space = _begin(wishes, seed)
    placed = st.lists(st.one_of(*_faults(space)), min_size=1, max_size=max_faults)
    return placed.map(lambda drawn: Schedule(subject, _in_order(drawn, space), seed))


def _begin(wishes: Wishes, seed: int) -> tuple[Subject, Space]:
    subject, space, _ = begin(wishes, seed)
    return subject, space


def _faults(space: Space) -> list[st.SearchStrategy[tuple[float, Placed]]]:
    """For each kind: the gap before it, and the fault at 0 s."""
    return [
        st.tuples(
            st.sampled_from(GAPS_S),
            st.builds(
                Placed,
                st.just(0.0),
                st.just(0.0) if choice.instant else st.sampled_from(space.lengths_s(space.begin_s)),
                st.just(choice.fault),
                st.sampled_from(choice.places),
                st.sampled_from(choice.values),
            ),
        )
        for choice in space.choices
    ]


def _in_order(drawn: Sequence[tuple[float, Placed]], space: Space) -> Faults:
    """One after the other; what does not fit is left out, so that no example is wasted."""
    found: Faults = ()
    at_s = space.begin_s
    for gap_s, fault in drawn:
        at_s += gap_s
        wider = ordered((*found, replace(fault, at_s=at_s)))
        if (
            wider[-1].at_s < space.load_s
            and all(one.end_s <= space.load_s for one in wider)
            and space.fits(wider)
        ):
            found = wider
    return found


STEADY_S = 5.0
"""The time before the first fault of a state machine."""


def state_machine(
    system: str,
    *,
    faults: Sequence[str] = (),
    without: Sequence[str] = (),
    overload: bool = False,
    seed: int = 1,
) -> type[RuleBasedStateMachine]:
    """A state machine of a system: `TestLedger = strategies.state_machine("ledger").TestCase`.

    Its rules begin a fault, end one, and let time pass while clients arrive at a rate. They are recorded; when the
    machine ends the whole is run in virtual time and checked, as `Schedule.check` does. Raises InvalidSystem,
    UsageError.
    """
    subject, space = _begin(
        Wishes(target=system, for_s=60.0, without=tuple(without), faults=tuple(faults), overload=overload),
        seed,
    )
    (name, load), *_ = subject.load.items()

    class FaultMachine(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self._now_s = STEADY_S
            self._stages = [_stage(1.0, STEADY_S)]
            self._open: list[Placed] = []
            self._ended: list[Placed] = []

        @rule(seconds=st.sampled_from(LENGTHS_S[:4]), per_s=st.sampled_from((0.0, 1.0, 4.0)))
        def clients(self, seconds: float, per_s: float) -> None:
            self._now_s += seconds
            self._stages.append(_stage(per_s, seconds))

        @rule(drawn=st.one_of(*_faults(space)))
        def fault(self, drawn: tuple[float, Placed]) -> None:
            began = replace(drawn[1], at_s=self._now_s)
            # Open faults last until the end, as far as is known.
            lasting = [replace(one, for_s=1e6) for one in (*self._open, began) if one.for_s]
            if space.fits(ordered((*self._ended, *lasting))):
                (self._open if began.for_s else self._ended).append(began)

        @precondition(lambda self: bool(self._open))
        @rule(data=st.data())
        def heal(self, data: st.DataObject) -> None:
            self._end(data.draw(st.sampled_from(self._open)))

        def _end(self, fault: Placed) -> None:
            self._open.remove(fault)
            if self._now_s > fault.at_s:
                self._ended.append(replace(fault, for_s=self._now_s - fault.at_s))

        def teardown(self) -> None:
            for fault in list(self._open):
                self._end(fault)
            stages = Load(workload=load.workload, arrive=tuple(self._stages), mix=load.mix)
            Schedule(replace(subject, load={name: stages}), ordered(self._ended), seed).check()

    FaultMachine.__name__ = FaultMachine.__qualname__ = f"{subject.system.name.title()}Machine"
    return FaultMachine


def _stage(per_s: float, for_s: float) -> LoadStage:
    return LoadStage(at=f"{per_s:g}/s", for_=f"{for_s:g}s")
