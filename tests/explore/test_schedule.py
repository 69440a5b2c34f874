"""Schedules: what is drawn fits the search, what is shrunk is needed."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.experiment.load import Load
from harness.explore.patterns import PATTERNS
from harness.explore.schedule import Place, Placed, Schedule, ordered, overlapping, tolerated
from harness.explore.shrink import Shrinker
from harness.explore.space import GRID_S, Space, system_of
from harness.explore.trial import Subject, Trial, Violation
from harness.sim.options import CAPABILITIES

LOAD = {"customers": Load.model_validate({"arrive": "4/s", "for": "40s", "mix": "all"})}
SUBJECT = Subject("systems.ledger.system:system", LOAD, 10.0)
SPACE = Space(
    SUBJECT.name,
    LOAD,
    frozenset(CAPABILITIES.available),
    paths=(("customer", "teller"), ("teller", "store"), ("worker", "store")),
)
VIOLATION = Violation("invariant", "one", "a row violates it")


@given(st.integers(0, 2**32))
def test_a_drawn_schedule_is_one_of_the_search(seed: int) -> None:
    schedule = SPACE.draw(random.Random(seed))
    assert 1 <= len(schedule) <= SPACE.max_faults
    assert schedule == ordered(schedule) == SPACE.draw(random.Random(seed))
    assert SPACE.fits(schedule)
    assert all(fault.at_s >= SPACE.begin_s and fault.end_s <= SPACE.load_s for fault in schedule)
    assert all(fault.at_s % GRID_S == 0 for fault in schedule)
    assert [fault.model.fault for fault in schedule] == [fault.fault for fault in schedule]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_every_pattern_is_made_of_valid_faults_in_time(pattern: str) -> None:
    drawn = [tuple(PATTERNS[pattern](SPACE, random.Random(seed))) for seed in range(30)]
    assert any(drawn)
    for schedule in drawn:
        assert [fault.model.fault for fault in schedule] == [fault.fault for fault in schedule]
        assert all(fault.at_s >= SPACE.begin_s for fault in schedule)


def test_the_loss_of_a_zone_is_not_tolerated_where_it_has_all_nodes_of_a_role() -> None:
    zone = Placed(10.0, 5.0, "crash", Place(zone="town"))
    assert not tolerated((zone,), SPACE.system)
    assert zone.entry["target"] == {"zone": "town"}


def test_single_faults_are_tried_in_every_place() -> None:
    singles = {(fault.fault, fault.place) for (fault,) in SPACE.singles}
    assert ("crash", Place(node="store-1")) in singles
    assert ("latency", Place(between=("teller", "store"))) in singles
    # Both tellers at a time are more than the system is made for.
    assert ("crash", Place(role="teller")) not in singles
    assert ("crash", Place(role="teller")) in {
        (fault.fault, fault.place) for (fault,) in replace(SPACE, overload=True).singles
    }


@pytest.mark.parametrize(
    ("nodes", "is_tolerated"),
    [
        (("teller-1",), True),
        (("teller-1", "worker-1"), True),
        (("teller-1", "teller-2"), False),
        (("store-1",), True),
    ],
)
def test_one_node_of_each_role_stays(nodes: tuple[str, ...], is_tolerated: bool) -> None:
    together = ordered(Placed(10.0 + n, 10.0, "crash", Place(node=node)) for n, node in enumerate(nodes))
    apart = ordered(Placed(10.0 + 11 * n, 10.0, "crash", Place(node=node)) for n, node in enumerate(nodes))
    assert tolerated(together, system_of(SUBJECT.name)) is is_tolerated
    assert tolerated(apart, system_of(SUBJECT.name))


def test_a_node_that_is_down_is_not_stopped_again() -> None:
    crash = Placed(10.0, 10.0, "crash", Place(node="teller-1"))
    pause = Placed(15.0, 10.0, "pause", Place(node="teller-1"))
    assert overlapping((crash, pause), system_of(SUBJECT.name))
    assert not overlapping((crash, replace(pause, at_s=21.0)), system_of(SUBJECT.name))


@given(st.integers(0, 2**32), st.randoms())
def test_shrinking_keeps_what_is_needed_and_nothing_else(seed: int, rng: random.Random) -> None:
    """A system that fails whenever certain faults are in the schedule, at least so long."""
    first = replace(SPACE, max_faults=6).draw(random.Random(seed))
    needed = {fault.fault for fault in rng.sample(first, rng.randint(1, min(2, len(first))))}
    runs = 0

    def run(subject: Subject, schedule: Schedule) -> Trial:
        nonlocal runs
        runs += 1
        found = {fault.fault for fault in schedule if not fault.for_s or fault.for_s >= 1.0}
        return Trial(schedule, 1, (VIOLATION,) if needed <= found else ())

    shrunk = Shrinker(SPACE, VIOLATION, run, max_runs=200).shrink(SUBJECT, first)
    assert sorted(fault.fault for fault in shrunk.schedule) == sorted(needed)
    assert shrunk.minimal
    assert shrunk.runs == runs <= 60
    assert sum(load.expected_clients for load in shrunk.subject.load.values()) <= 8


def test_shrinking_ends_with_the_limit_and_says_so() -> None:
    first = SPACE.draw(random.Random(4))
    shrunk = Shrinker(
        SPACE, VIOLATION, lambda _, schedule: Trial(schedule, 1, (VIOLATION,)), max_runs=0
    ).shrink(SUBJECT, first)
    assert shrunk.schedule == first
    assert not shrunk.minimal
