"""Ctrl-C as a polite request: the run is asked to end, so that it can undo its faults first."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """`asked` once somebody has."""

    def __init__(self) -> None:
        self.asked = False


@contextmanager
def cancelled_by_signals(task: asyncio.Task[object]) -> Iterator[Interruption]:
    """Within the block a signal cancels `task`; a second one raises KeyboardInterrupt wherever it strikes.

    Only signals that would raise KeyboardInterrupt now are taken: somebody else's handlers are left alone,
    and outside the main thread, where there are no handlers, nothing is done.
    """
    interruption = Interruption()

    def ask(number: int, frame: FrameType | None) -> None:
        if interruption.asked or task.done():
            raise KeyboardInterrupt
        interruption.asked = True
        # A virtual loop never sleeps; a real one must be woken.
        loop = task.get_loop()
        loop.call_soon_threadsafe(task.cancel)

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
