"""`harness bench fuzz`: the rate at which schedules show a defect."""

from __future__ import annotations

import pytest

from harness.explore.bench import Detection, measure
from harness.explore.start import Wishes

LEDGER = "systems.ledger.system:system"


def test_a_safeguard_that_is_off_is_shown_and_the_sound_system_is_not() -> None:
    wishes = Wishes(LEDGER, for_s=12.0, faults=("loss",))
    found = list(measure(wishes, (None, "store.idempotency"), schedules=8))
    assert [(one.way, one.without) for one in found] == [
        ("search", None),
        ("random", None),
        ("search", "store.idempotency"),
        ("random", "store.idempotency"),
    ]
    assert all(one.broken is None and one.trials == 8 for one in found)
    assert [one.shown for one in found[:2]] == [0, 0]
    assert found[2].shown > 0
    assert found[2].properties == ("invariant deposits-done-once",)


def test_the_interval_is_exact() -> None:
    # Clopper-Pearson for 3 of 40 at 95 %, from tables.
    low, high = Detection("search", None, 40, 3, 1).interval
    assert (low, high) == (pytest.approx(15.7, abs=0.1), pytest.approx(203.9, abs=0.1))
