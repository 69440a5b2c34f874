"""Ctrl-C as a polite request: the run is asked to end, so that it can undo its faults first."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


_LISTENERS: list[Callable[[], None]] = []


@contextmanager
def heard_by(listener: Callable[[], None]) -> Iterator[None]:
    """Within the block a signal that asks a run to end also calls this. It must be quick, and never raise."""
    _LISTENERS.append(listener)
    try:
        yield
    finally:
        _LISTENERS.remove(listener)


@dataclass(slots=True)
class Interruption:
    """`asked`: a signal has come; `at_s`: when, by the clock that was given."""

    asked: bool = False
    at_s: float | None = None


@contextmanager
def cancelled_by_signals(
    task: asyncio.Task[Any], now: Callable[[], float] | None = None
) -> Iterator[Interruption]:
    """Within the block a signal cancels `task`; a second one raises KeyboardInterrupt where it strikes.

    Only signals that would raise KeyboardInterrupt now are taken: handlers of others are left alone. Outside the
    main thread, where there are no handlers, nothing is done.
    """
    interruption = Interruption()

    def ask(number: int, frame: FrameType | None) -> None:
        if interruption.asked or task.done():
            raise KeyboardInterrupt
        interruption.asked = True
        for listener in _LISTENERS:
            listener()
        interruption.at_s = None if now is None else now()
        # A virtual loop never sleeps; a real one must be woken.
        task.get_loop().call_soon_threadsafe(task.cancel)

    taken = []
    if threading.current_thread() is threading.main_thread():
        taken = [number for number in SIGNALS if signal.getsignal(number) is signal.default_int_handler]
    for number in taken:
        signal.signal(number, ask)
    try:
        yield interruption
    finally:
        for number in taken:
            signal.signal(number, signal.default_int_handler)
