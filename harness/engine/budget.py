"""A budget of real time for a piece of work: when it is exceeded, the work is interrupted, at last by force."""

from __future__ import annotations

import os
import signal
import sys
import sysconfig
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from harness.errors import HarnessError
from harness.runtime.interrupt import SIGNALS, heard_by

DEFAULT_S = 600.0
"""What an experiment without `budget` may take, beyond its run time."""

ATTEMPTS = 3
"""How often work is interrupted before its process is ended by force."""

EXIT_FORCED = 70
"""The exit code of a process that is ended by force."""

_LIBRARIES = tuple(
    str(Path(place).resolve()) + os.sep
    for place in (sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"), str(Path(__file__).parents[1]))
)


_THREADS = str(Path("sim", "threads.py"))
"""Where the simulated loop waits for a thread."""


class BudgetExceeded(HarnessError):
    """Work has taken more real time than it may. The message says where it was."""


@contextmanager
def real_time_budget(seconds: float, owner: str, grace_s: float) -> Iterator[None]:
    """End the block when it takes longer, or does not end after Ctrl-C or SIGTERM.

    It is interrupted as by Ctrl-C (faults are undone first), again every `grace_s` seconds, and then the process is
    ended. `owner`: whose budget it is, such as 'the run'. Raises BudgetExceeded. Outside the main thread, or where
    signals have handlers of others, nothing is done.
    """
    number = next((one for one in SIGNALS if signal.getsignal(one) is signal.default_int_handler), None)
    if number is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    watchdog = _Watchdog(seconds, number, grace_s)
    try:
        with heard_by(watchdog.hurry):
            watchdog.start()
            yield
    except KeyboardInterrupt as interrupt:
        if watchdog.place is None:
            raise
        ended = str(interrupt) or "it was ended by force"
        reason = f"{owner} exceeded its budget of {seconds:g} s real time"
        raise BudgetExceeded(f"{reason}, in {watchdog.place}; {ended}") from None
    finally:
        watchdog.stop()


class _Watchdog(threading.Thread):
    """`place`: where the main thread was when the budget was exceeded; None: it was not."""

    def __init__(self, seconds: float, number: signal.Signals, grace_s: float) -> None:
        super().__init__(name="real-time budget", daemon=True)
        self.place: str | None = None
        self._seconds = seconds
        self._number = number
        self._grace_s = grace_s
        self._wake = threading.Event()
        self._done = threading.Event()

    def hurry(self) -> None:
        """A signal has asked for the end: see that it comes."""
        self._wake.set()

    def stop(self) -> None:
        self._done.set()
        self._wake.set()

    def run(self) -> None:
        if not self._wake.wait(self._seconds):
            self.place = _place_of_main_thread()
        elif self._done.wait(self._grace_s):
            return
        for _ in range(ATTEMPTS):
            signal.pthread_kill(threading.main_thread().ident or 0, self._number)
            if self._done.wait(self._grace_s):
                return
        where = self.place or _place_of_main_thread()
        print(f"ended by force: it did not react to signals, in {where}", file=sys.stderr, flush=True)
        os._exit(EXIT_FORCED)


def _place_of_main_thread() -> str:
    """`file:line (function)`: of the code that is neither the harness's nor a library's, if there is some.

    The simulated loop may wait for a thread of a service, which runs such code.
    """
    frames = sys._current_frames()
    main = frames.pop(threading.main_thread().ident or 0, None)
    waits = any(frame.f_code.co_filename.endswith(_THREADS) for frame, _ in traceback.walk_stack(main))
    for innermost in (*frames.values(), main) if waits else (main,):
        frame = innermost
        while frame is not None:
            if not str(Path(frame.f_code.co_filename).resolve()).startswith(_LIBRARIES):
                return _describe(frame)
            frame = frame.f_back
    return "unknown code" if main is None else _describe(main)


def _describe(frame: FrameType) -> str:
    return f"{frame.f_code.co_filename}:{frame.f_lineno} ({frame.f_code.co_name})"
