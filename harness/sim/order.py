"""The order in which tasks that are ready at one moment take their steps: the one decision of the loop that is free.

asyncio runs what is ready first in, first out. A real process may be slower or faster by a little, and then other tasks
come first; defects that need such an order are never seen in that one. An order has a seed of its own, so that a run
with it repeats exactly, and its random numbers shift no others.

* `fifo`: asyncio's own order, at no cost.
* `random:SEED`: the ready tasks in random order, each time.
* `pct:SEED`: one task at a time, the one with the highest priority; priorities are random and some change as the run
  goes on (Burckhardt et al., A randomized scheduler with probabilistic guarantees of finding bugs, ASPLOS 2010). It
  holds a task back over many turns, which a shuffle hardly ever does.

Only steps of tasks of simulated processes are moved, and never behind a callback of a transport that came later:
libraries rely on that order (aiohttp begins to serve a connection before it can be lost).
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections import deque
from typing import Any

from harness.experiment.order import FIFO, parse_order
from harness.sim.process import Process
from harness.system.streams import stream

MAX_HELD = 100
"""Turns that a step may be held back: a task that polls at one moment must not stop all others for ever."""

CHANGE = 0.02
"""How likely the priority of the task that runs falls below all others, at each step."""


class TaskOrder(ABC):
    """Arranges what is ready before each turn of the loop."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    @abstractmethod
    def arrange(self, ready: deque[Any]) -> None:
        """Change the order of the steps, or hold some back."""

    def restore(self, ready: deque[Any]) -> None:  # noqa: B027 - an order that holds nothing back
        """Put back in front what was held back."""


class RandomOrder(TaskOrder):
    def arrange(self, ready: deque[Any]) -> None:
        places = _movable(ready)
        if len(places) > 1:
            steps = [ready[index] for index in places]
            self._rng.shuffle(steps)
            for index, step in zip(places, steps, strict=True):
                ready[index] = step


class PctOrder(TaskOrder):
    def __init__(self, rng: random.Random) -> None:
        super().__init__(rng)
        self._priorities: dict[int, float] = {}
        self._lowest = 0.0
        self._held: list[Any] = []
        self._turns: dict[int, int] = {}

    def arrange(self, ready: deque[Any]) -> None:
        steps = [ready[index] for index in _movable(ready)]
        if len(steps) < 2:
            self._turns.clear()
            return
        chosen = max(steps, key=self._priority)
        if self._rng.random() < CHANGE:
            self._lowest -= 1.0
            self._priorities[_task(chosen)] = self._lowest
        overdue = {id(step) for step in steps if self._turns.get(_task(step), 0) >= MAX_HELD}
        self._held = [step for step in steps if step is not chosen and id(step) not in overdue]
        self._turns = {_task(step): self._turns.get(_task(step), 0) + 1 for step in self._held}
        held = set(map(id, self._held))
        kept = [handle for handle in ready if id(handle) not in held]
        ready.clear()
        ready.extend(kept)

    def restore(self, ready: deque[Any]) -> None:
        ready.extendleft(reversed(self._held))
        self._held = []

    def _priority(self, handle: Any) -> float:
        task = _task(handle)
        if task not in self._priorities:
            self._priorities[task] = self._rng.random()
        return self._priorities[task]


def make_order(text: str) -> TaskOrder | None:
    """The order of that name and seed; None for asyncio's own. Raises InvalidValue."""
    kind, seed = parse_order(text)
    if kind == FIFO:
        return None
    rng = stream(seed, "order", kind)
    return RandomOrder(rng) if kind == "random" else PctOrder(rng)


def _movable(ready: deque[Any]) -> list[int]:
    """The places of the steps that no callback follows."""
    places: list[int] = []
    for index in range(len(ready) - 1, -1, -1):
        if _is_step(ready[index]):
            places.append(index)
        elif not ready[index]._cancelled:
            break
    return places[::-1]


def _is_step(handle: Any) -> bool:
    """Whether it is a step of a task of a simulated process."""
    return (
        not handle._cancelled
        and hasattr(getattr(handle._callback, "__self__", None), "_index")
        and handle._context.get(Process.variable) is not None
    )


def _task(handle: Any) -> int:
    index: int = handle._callback.__self__._index
    return index
