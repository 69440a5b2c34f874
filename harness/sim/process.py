"""`Process`: one incarnation of a program on a simulated machine."""

from __future__ import annotations

import asyncio
import weakref
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from harness.sim.network.machine import Machine


class Process:
    """All code that one `Machine.start` started. Once it is not `alive`, nothing that it does has any effect.

    `variable` tells code which process it runs in.
    """

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
