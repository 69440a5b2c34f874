"""One incarnation of a program on a simulated machine, and how code knows which one it runs in."""

from __future__ import annotations

import asyncio
import weakref
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from harness.sim.network.machine import Machine


class Process:
    """Everything that was started by one `Machine.start`. Once dead, nothing it does has any effect."""

    variable: ClassVar[ContextVar[Process]] = ContextVar("harness_sim_process")

    __slots__ = ("alive", "held_ready", "held_timers", "machine", "spawned", "tasks")

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.alive = True
        # The loop itself remembers tasks only weakly.
        self.tasks: dict[asyncio.Task[Any], None] = {}
        self.spawned: weakref.WeakSet[asyncio.Task[Any]] = weakref.WeakSet()
        """Every task that was created by its code."""
        self.held_ready: list[Any] = []
        self.held_timers: list[asyncio.TimerHandle] = []

    @classmethod
    def current(cls) -> Process | None:
        """The process whose code is running; None for the harness itself."""
        return cls.variable.get(None)
