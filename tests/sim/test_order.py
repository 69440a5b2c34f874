"""Orders of ready tasks: what they find, that they repeat exactly, and that they leave everything else alone."""

from __future__ import annotations

import pytest

from harness.errors import InvalidValue
from harness.experiment.load import Load
from harness.explore.trial import Subject, Trial, run_trial
from harness.sim.order import make_order

LOAD = {"clients": Load.model_validate({"arrive": "1/s", "for": "10s", "mix": "all"})}


def tried(system: str, order: str) -> Trial:
    return run_trial(Subject(f"tests.support.racing_system:{system}", LOAD, 10.0, order=order), (), 1)


@pytest.mark.parametrize(
    ("system", "kind"), [("one_turn", "random"), ("one_turn", "pct"), ("starved", "pct")]
)
def test_a_defect_of_order_is_found_within_five_seeds_and_repeats(system: str, kind: str) -> None:
    assert tried(system, "fifo").violations == ()
    seed = next(seed for seed in range(5) if tried(system, f"{kind}:{seed}").violations)
    assert tried(system, f"{kind}:{seed}") == tried(system, f"{kind}:{seed}")


@pytest.mark.parametrize("order", ["fifo", "random:1", "random:2", "pct:1", "pct:2"])
def test_a_sound_system_is_sound_in_every_order(order: str) -> None:
    load = {"customers": Load.model_validate({"arrive": "2/s", "for": "10s", "mix": "all"})}
    trial = run_trial(Subject("systems.ledger.system:system", load, 10.0, order=order), (), 1)
    assert (trial.violations, trial.broken) == ((), None)


@pytest.mark.parametrize("text", ["", "lifo", "random", "pct:x", "fifo:1"])
def test_an_order_that_there_is_not(text: str) -> None:
    with pytest.raises(InvalidValue):
        make_order(text)
