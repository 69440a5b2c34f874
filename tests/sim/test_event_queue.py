"""Events happen in the order of time, then of adding."""

from __future__ import annotations

import math

from harness.sim.network.event_queue import EventQueue


def test_events_are_run_in_order_with_those_that_they_add() -> None:
    queue, ran = EventQueue(), list[tuple[float, str]]()

    def note(now_s: float, name: str) -> None:
        ran.append((now_s, name))
        if name == "first":
            queue.at(1.0, note, "added")

    for time_s, name in ((2.0, "late"), (1.0, "first"), (1.0, "second")):
        queue.at(time_s, note, name)
    assert queue.next_s() == 1.0
    queue.run_due(0.5)
    assert not ran
    queue.run_due(1.0)
    assert [name for _, name in ran] == ["first", "second", "added"]
    assert queue.next_s() == 2.0
    queue.clear()
    assert queue.next_s() == math.inf
