"""Watching the loop in real time: code that blocks it, or never lets virtual time move, is an error with its line."""

from __future__ import annotations

import ctypes
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from harness.sim.process import Process
from harness.sim.threads import VirtualTimeError, place_of

if TYPE_CHECKING:
    from harness.sim.loop import SimLoop

BLOCK_S = 10.0
"""How long, in real time, virtual time may stand still."""

_SIGNAL = getattr(signal, "SIGURG", None)
"""It is ignored by default: one that arrives after the run does no harm."""


class Blocked(BaseException):
    """Raised in code that blocks the loop, so that it ends. The run ends with a VirtualTimeError."""


@contextmanager
def watched(loop: SimLoop) -> Iterator[None]:
    """End the run of the block when code of a simulated process blocks the loop for `BLOCK_S`.

    In the main thread a signal interrupts it, also where it waits in a system call. Not while a debugger is active.
    """
    watch = _Watch(loop)
    takes_signal = (
        _SIGNAL is not None
        and threading.current_thread() is threading.main_thread()
        and signal.getsignal(_SIGNAL) is signal.SIG_DFL
    )
    if takes_signal:
        assert _SIGNAL is not None
        signal.signal(_SIGNAL, watch.strike)
        watch.number = _SIGNAL
    watch.start()
    try:
        yield
    finally:
        watch.done.set()
        watch.join()
        if takes_signal:
            assert _SIGNAL is not None
            signal.signal(_SIGNAL, signal.SIG_DFL)


class _Watch(threading.Thread):
    def __init__(self, loop: SimLoop) -> None:
        super().__init__(name="watch of the loop", daemon=True)
        self.done = threading.Event()
        self.number: signal.Signals | None = None
        self._loop = loop
        self._watched = threading.get_ident()
        self._since = (time.monotonic(), -1.0)  # noqa: TID251
        """When, and at which virtual time, it was last seen to move."""

    def run(self) -> None:
        pause_s = min(0.5, BLOCK_S / 4)
        while not self.done.wait(pause_s):
            real_s = time.monotonic()  # noqa: TID251
            if self._loop.now_s != self._since[1]:
                self._since, pause_s = (real_s, self._loop.now_s), min(0.5, BLOCK_S / 4)
            elif real_s - self._since[0] >= BLOCK_S:
                self._interrupt()
                pause_s = 0.02  # until it strikes code of a process

    def _interrupt(self) -> None:
        if self.number is not None:
            signal.pthread_kill(self._watched, self.number)
        elif (frame := sys._current_frames().get(self._watched)) is not None:
            # Without a signal: at the next line of Python, whoever's it is.
            self._loop.fail(VirtualTimeError(self._describe("code", frame)))
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(self._watched), ctypes.py_object(Blocked)
            )
            self._since = (time.monotonic(), self._loop.now_s)  # noqa: TID251

    def strike(self, _: int, frame: FrameType | None) -> None:
        """The handler of the signal."""
        process = Process.current()
        if process is None or frame is None or self.done.is_set() or sys.gettrace() is not None:
            return
        if self._loop.now_s != self._since[1]:
            return
        text = self._describe(process.machine.identity.name, frame)
        self._loop.fail(VirtualTimeError(text))
        raise Blocked(text)

    def _describe(self, host: str, frame: FrameType) -> str:
        return (
            f"{host} has blocked the loop for {BLOCK_S:g} s of real time, in which virtual time stood still at "
            f"{self._loop.now_s:.6f} s: {place_of(frame)}"
        )
