"""Strategies and the state machine in tests of one's own."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.stateful import run_state_machine_as_test

from harness import strategies

LEDGER = "systems.ledger.system:system"
QUICK = settings(
    deadline=None,
    max_examples=12,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.generate,),
)


@QUICK
@given(strategies.schedules(LEDGER, for_s=12.0, arrive_per_s=1.0))
def test_the_ledger_is_sound(schedule: strategies.Schedule) -> None:
    schedule.check()


def test_a_violation_is_an_assertion_error_with_the_timeline_to_paste() -> None:
    @QUICK
    @given(strategies.schedules(LEDGER, faults=["latency"], for_s=20.0, without=["store.idempotency"]))
    def is_sound(schedule: strategies.Schedule) -> None:
        schedule.check()

    with pytest.raises(AssertionError, match=r"(?s)invariant deposits-done-once.*timeline:.*fault: latency"):
        is_sound()


def test_misuse_is_no_violation() -> None:
    @QUICK
    @given(strategies.schedules("tests.support.misuse_system:system", for_s=10.0))
    def is_sound(schedule: strategies.Schedule) -> None:
        schedule.check()

    with pytest.raises(strategies.TrialBroken, match="HostError"):
        is_sound()


def test_a_state_machine_of_faults_heals_and_clients() -> None:
    machine = settings(QUICK, max_examples=3, stateful_step_count=6)
    run_state_machine_as_test(strategies.state_machine(LEDGER), settings=machine)
    broken = strategies.state_machine(LEDGER, faults=["latency"], without=["store.idempotency"])
    with pytest.raises(AssertionError, match="deposits-done-once"):
        run_state_machine_as_test(broken, settings=settings(QUICK, max_examples=40, stateful_step_count=8))
