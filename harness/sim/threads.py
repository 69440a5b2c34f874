"""Threads of simulated processes: they are real, but only one of them, or the loop, runs at a time.

The loop stands still while a thread runs, and virtual time with it. A thread gives way when it ends, sleeps, or
waits (`threading.Condition`, and what is built on it: events, queues, futures; and locks that were made in a simulated
process); sleeps and time-outs are virtual. So the order in which threads run depends on the code alone, never on how
long they really take.

Work that somebody awaits (`asyncio.to_thread`, executors, `anyio.to_thread`) must not wait for the loop: that is an
error. A thread that a service starts by itself may, such as a consumer of a queue.
"""

from __future__ import annotations

import _thread
import functools
import logging
import queue
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import thread as pool_module
from contextlib import contextmanager
from contextvars import Context, copy_context
from types import FrameType
from typing import TYPE_CHECKING, Any, ClassVar

from harness.errors import HarnessError
from harness.runtime.host import HostError
from harness.sim.process import Process
from harness.text import caller_place, describe_place

if TYPE_CHECKING:
    from harness.sim.loop import SimLoop

BLOCK_S = 10.0
"""How long code may run, in real time, before it is said to block the loop."""

MAX_WORKERS = 32
"""Threads of the default executor of a process."""


class VirtualTimeError(HarnessError):
    """Virtual time cannot advance: nothing will happen any more, or everything happens at one instant."""


class ThreadError(HostError):
    """A thread waits for the loop, or is not one of the simulation. The run is an error, whatever catches it."""


class _Killed(BaseException):
    """Ends a thread of a process that is dead."""


_LOGGER = logging.getLogger("concurrent.futures")


class _Local(threading.local):
    thread: SimThread | None = None
    """The simulated thread that this is."""
    real = False
    """Whether waiting is real: for the inner workings of a start."""


_local = _Local()


class SimThread:
    """One thread: it runs while it holds `turn`."""

    def __init__(self, threads: Threads, thread: threading.Thread, process: Process | None) -> None:
        self.threads = threads
        self.thread = thread
        self.process = process
        """Whose thread it is; None for one that processes share."""
        self.turn = _thread.allocate_lock()
        self.turn.acquire()
        self.finished = _thread.allocate_lock()
        self.finished.acquire()
        self.waiter: Any = None
        """What it waits for: a lock, until it is released."""
        self.deadline_s: float | None = None
        self.awaited = False
        """Whether it works on something that somebody awaits."""
        self.needs_loop = False
        """Whether it waits in a place where only the loop, or another thread, can help."""
        self.error: _Killed | None = None
        """What it raises when it goes on."""
        self.stuck = False
        """Whether it waits for the loop where it must not: it gets an error."""
        self.context = copy_context()

    @property
    def runnable(self) -> bool:
        if self.process is not None and not self.process.machine.running:
            return False
        if self.error is not None or self.stuck or (self.waiter is None and self.deadline_s is None):
            return True
        if self.deadline_s is not None and self.threads.loop.now_s >= self.deadline_s:
            return True
        return self.waiter is not None and not self.waiter.locked()

    def main(self, run: Callable[[], None]) -> None:
        """What the thread executes in place of `run`."""
        _local.thread = self
        self.turn.acquire()
        try:
            if self.error is None:
                self.context.run(run)
        except (_Killed, SystemExit):
            pass
        except BaseException as error:
            report = self.threads.loop.call_exception_handler
            text = f"exception in thread {self.thread.name}"
            self.context.run(report, {"message": text, "exception": error})
        finally:
            _local.thread = None
            self.finished.release()
            self.threads.back.release()

    def park(self, waiter: Any, timeout: float | None, *, needs_loop: bool = False) -> None:
        """Give way until `waiter` is released, or for `timeout` seconds of virtual time."""
        if self.error is not None:
            raise self.error
        loop, timer = self.threads.loop, None
        self.waiter, self.needs_loop = waiter, needs_loop
        if timeout is not None:
            self.deadline_s = loop.now_s + max(0.0, timeout)
            timer = loop.call_at(self.deadline_s, _nothing, context=Context())
        self.threads.back.release()
        self.turn.acquire()
        self.waiter = self.deadline_s = None
        if timer is not None:
            timer.cancel()
        if self.error is not None:
            raise self.error
        if self.stuck:
            self.stuck = self.needs_loop = False
            process = Process.current()
            host = "" if process is None else f" of {process.machine.identity.name}"
            text = (
                f"thread {self.thread.name}{host} waits for the loop, which stands still while the thread runs; "
                f"do the waiting in the loop, with `await` ({caller_place()})"
            )
            loop.report_misuse(f"{ThreadError.__name__}: {text}")
            raise ThreadError(text)

    def place(self) -> str:
        frame = sys._current_frames().get(self.thread.ident or 0)
        return "unknown code" if frame is None else place_of(frame)

    def describe(self) -> str:
        host = "" if self.process is None else f" of {self.process.machine.identity.name}"
        return f"thread {self.thread.name}{host} ({self.place()})"


class SimLock:
    """A `threading.Lock` made in a simulated process: a thread that waits for it gives way."""

    def __init__(self) -> None:
        self._lock = _thread.allocate_lock()
        self.locked = self._lock.locked
        self.release = self._lock.release

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        if self._lock.acquire(False):
            return True
        threads = Threads.current
        if not blocking or timeout == 0 or threads is None:
            return False if threads is not None or not blocking else self._lock.acquire(True, timeout)
        me, end_s = _local.thread, None if timeout < 0 else threads.loop.now_s + timeout
        while True:
            if me is None:
                threads.run()
            else:
                left_s = None if end_s is None else end_s - threads.loop.now_s
                me.park(self._lock, left_s, needs_loop=me.awaited and left_s is None)
            if self._lock.acquire(False):
                return True
            if me is None:
                raise threads.loop.refusal(
                    "waiting for a lock in the loop", "asyncio.Lock, or asyncio.to_thread"
                )
            if end_s is not None and threads.loop.now_s >= end_s:
                return False

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


def _rlock() -> Any:
    lock: Any = threading._PyRLock()  # type: ignore[attr-defined]
    lock._block = SimLock()
    return lock


class Threads:
    """Those of one loop. `active` in the order in which they take turns."""

    current: ClassVar[Threads | None] = None
    """Those of the run that is under way in this process of the machine."""

    def __init__(self, loop: SimLoop) -> None:
        self.loop = loop
        self.active: list[SimThread] = []
        self.back = threading.Semaphore(0)
        self._ident = 0
        self._pools: dict[tuple[int, Process], tuple[ThreadPoolExecutor, ThreadPoolExecutor]] = {}
        self._default = ThreadPoolExecutor(MAX_WORKERS, "worker")

    # ------------------------------------------------------------------ for the loop

    def run(self) -> None:
        """Let threads run until none can. Called by the loop, which waits meanwhile."""
        while True:
            thread = next((one for one in self.active if one.runnable), None) or self._first_stuck()
            if thread is None:
                return
            self._give_turn(thread)

    def _first_stuck(self) -> SimThread | None:
        """A thread that waits for the loop where it must not; it gets the error."""
        if any(one.deadline_s is not None and not one.needs_loop for one in self.active):
            return None  # another thread will go on, and may be what it waits for
        for one in self.active:
            if one.needs_loop and (one.process is None or one.process.machine.running):
                one.stuck = True
                return one
        return None

    def _give_turn(self, thread: SimThread) -> None:
        self.active.remove(thread)
        self.active.append(thread)
        thread.turn.release()
        try:
            back = _acquire(self.back, BLOCK_S)
        except BaseException:
            self._lose(thread)  # interrupted: it may still run
            raise
        if not back:
            where = thread.describe()
            self._lose(thread)
            host = "a node" if thread.process is None else thread.process.machine.identity.name
            self.loop.seal()
            raise VirtualTimeError(f"{host} has blocked the loop for {BLOCK_S:g} s of real time: {where}")
        if not thread.finished.locked():
            self.active.remove(thread)

    def _lose(self, thread: SimThread) -> None:
        """Wait no more for a thread that does not give way. It ends when it next does; Python's exit joins it not."""
        self.active.remove(thread)
        thread.error = _Killed()
        pool_module._threads_queues.pop(thread.thread, None)  # type: ignore[attr-defined]

    def kill(self, process: Process) -> None:
        """End the threads of a process that has ended."""
        for one in [one for one in self.active if one.process is process]:
            self._kill(one)
        for key in [key for key in self._pools if key[1] is process]:
            del self._pools[key]

    def close(self) -> None:
        """End all threads."""
        for one in list(self.active):
            self._kill(one)
        self._pools.clear()

    def _kill(self, thread: SimThread) -> None:
        self._lose(thread)
        if _local.thread is thread:
            return  # it ends when it next waits
        # A worker of an executor logs what ends it.
        before, _LOGGER.disabled = _LOGGER.disabled, True
        thread.turn.release()
        _acquire(self.back, 1.0)
        _LOGGER.disabled = before

    def describe(self) -> list[str]:
        """Those that wait, for the message of a deadlock."""
        return [one.describe() for one in self.active]

    def executor(self, executor: ThreadPoolExecutor | None) -> ThreadPoolExecutor:
        return self._default if executor is None else executor

    # ------------------------------------------------------------------ what is replaced

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Take over the threads that simulated processes start, for the time of a run."""
        replaced: tuple[tuple[type, str, Callable[..., Any]], ...] = (
            (threading.Thread, "start", _start),
            (threading.Thread, "join", _join),
            (threading.Condition, "wait", _wait),
            (ThreadPoolExecutor, "submit", _submit),
            (ThreadPoolExecutor, "shutdown", _shutdown),
        )
        self._ident = threading.get_ident()
        Threads.current = self
        locks = threading.Lock, threading.RLock
        for owner, name, function in replaced:
            setattr(owner, name, function)
        for name, simulated, real in (("Lock", SimLock, locks[0]), ("RLock", _rlock, locks[1])):
            setattr(threading, name, _made_inside(simulated, real))
        try:
            yield
        finally:
            self.close()
            Threads.current = None
            for owner, name, function in replaced:
                setattr(owner, name, function.__wrapped__)  # type: ignore[attr-defined]
            setattr(threading, "Lock", locks[0])  # noqa: B010
            setattr(threading, "RLock", locks[1])  # noqa: B010

    def find(self, thread: threading.Thread) -> SimThread | None:
        return next((one for one in self.active if one.thread is thread), None)

    @property
    def in_loop(self) -> bool:
        """Whether the code that asks is of a simulated process, and runs in the loop."""
        return threading.get_ident() == self._ident and Process.current() is not None

    def pool(
        self, executor: ThreadPoolExecutor, process: Process, *, make: bool
    ) -> ThreadPoolExecutor | None:
        """What stands for an executor in a process: processes share the object, but not its threads."""
        found = self._pools.get((id(executor), process))
        if found is None and make:
            own: Any = ThreadPoolExecutor(
                executor._max_workers,
                executor._thread_name_prefix or "",
                getattr(executor, "_initializer", None),
                getattr(executor, "_initargs", ()),
            )
            # The one that waits in a way that can be replaced.
            own._work_queue = queue._PySimpleQueue()  # type: ignore[attr-defined]
            found = self._pools[id(executor), process] = (executor, own)
        return None if found is None else found[1]


def _made_inside(simulated: Callable[[], Any], real: Callable[[], Any]) -> Callable[[], Any]:
    """Makes a simulated lock for code of a simulated process."""

    def make() -> Any:
        return real() if _local.real or Process.current() is None else simulated()

    return make


def _acquire(semaphore: threading.Semaphore, timeout: float) -> bool:
    before, _local.real = _local.real, True
    try:
        return semaphore.acquire(timeout=timeout)
    finally:
        _local.real = before


def _replaces(original: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Calls the original where the caller is not of a simulated process."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def either(self: Any, *args: Any, **kwargs: Any) -> Any:
            threads = Threads.current
            if threads is None or _local.real or (_local.thread is None and not threads.in_loop):
                return original(self, *args, **kwargs)
            return function(threads, self, *args, **kwargs)

        return either

    return decorate


@_replaces(threading.Thread.start)
def _start(threads: Threads, thread: threading.Thread) -> None:
    # Those of anyio belong to the loop, and serve all processes on it.
    sim = SimThread(threads, thread, None if _is_anyio(thread) else Process.current())
    run = thread.run
    thread.run = lambda: sim.main(run)  # type: ignore[method-assign]
    thread._daemonic = True  # type: ignore[attr-defined]  # one that never ends must not hold up the exit
    before, _local.real = _local.real, True
    try:
        _start.__wrapped__(thread)  # type: ignore[attr-defined]
    finally:
        _local.real = before
    threads.active.append(sim)


@_replaces(threading.Thread.join)
def _join(threads: Threads, thread: threading.Thread, timeout: float | None = None) -> None:
    other = threads.find(thread)
    if other is not None:
        me = _local.thread
        if me is not None:
            me.park(other.finished, timeout)
        else:
            threads.run()
            if other.finished.locked() and (timeout is None or timeout > 0):
                raise threads.loop.refusal("Thread.join in the loop", "await asyncio.to_thread(thread.join)")
        if other.finished.locked():
            return
    _join.__wrapped__(thread, timeout)  # type: ignore[attr-defined]


@_replaces(threading.Condition.wait)
def _wait(threads: Threads, condition: Any, timeout: float | None = None) -> bool:
    if timeout is not None and timeout <= 0:
        return bool(_wait.__wrapped__(condition, timeout))  # type: ignore[attr-defined]
    if not condition._is_owned():
        raise RuntimeError("cannot wait on un-acquired lock")
    me = _local.thread
    waiter = _thread.allocate_lock()
    waiter.acquire()
    condition._waiters.append(waiter)
    saved = condition._release_save()
    notified = False
    try:
        if me is None:
            threads.run()
        else:
            me.park(waiter, timeout, needs_loop=_needs_loop(me, sys._getframe(1), timeout))
        notified = waiter.acquire(False)
    finally:
        condition._acquire_restore(saved)
        if not notified and waiter in condition._waiters:
            condition._waiters.remove(waiter)
    if me is None and not notified:
        raise threads.loop.refusal(
            "a wait for another thread, in the loop,", "asyncio.Event, asyncio.Queue or asyncio.wrap_future"
        )
    return notified


def _needs_loop(me: SimThread, frame: FrameType, timeout: float | None) -> bool:
    """Whether a wait of awaited work, or for a future, can only be ended by the loop or by another thread."""
    idle = True
    for one, _ in traceback.walk_stack(frame):
        code = one.f_code
        if isinstance(one.f_locals.get("self"), Future) and code.co_name in ("result", "exception"):
            return True
        if code.co_filename not in _WAITING:
            idle = _is_anyio(me.thread) and code.co_name == "run" and one.f_locals.get("self") is me.thread
            break
    return timeout is None and (me.awaited or (_is_anyio(me.thread) and not idle))


_WAITING = {threading.__file__, queue.__file__, Future.result.__code__.co_filename, __file__}


@_replaces(ThreadPoolExecutor.submit)
def _submit(
    threads: Threads, executor: ThreadPoolExecutor, function: Callable[..., Any], /, *args: Any, **kwargs: Any
) -> Future[Any]:
    process = Process.current()
    if process is None or executor._shutdown:
        return _submit.__wrapped__(executor, function, *args, **kwargs)  # type: ignore[attr-defined, no-any-return]
    pool = threads.pool(executor, process, make=True)
    work = functools.partial(copy_context().run, _await, function, *args, **kwargs)
    return _submit.__wrapped__(pool, work)  # type: ignore[attr-defined, no-any-return]


def _await(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    me = _local.thread
    if me is None:
        return function(*args, **kwargs)
    me.awaited = True
    try:
        return function(*args, **kwargs)
    finally:
        me.awaited = False


@_replaces(ThreadPoolExecutor.shutdown)
def _shutdown(threads: Threads, executor: ThreadPoolExecutor, wait: bool = True, **kwargs: Any) -> None:
    process = Process.current()
    pool = None if process is None else threads.pool(executor, process, make=False)
    if pool is not None:
        _shutdown.__wrapped__(pool, wait, **kwargs)  # type: ignore[attr-defined]
    _shutdown.__wrapped__(executor, wait, **kwargs)  # type: ignore[attr-defined]


def sleep_in_thread(seconds: float) -> bool:
    """Sleep in virtual time, in a simulated thread. False where this is none."""
    me = _local.thread
    if me is None:
        return False
    me.park(None, seconds)
    return True


def is_simulated() -> bool:
    """Whether the code that asks runs in a simulated thread."""
    return _local.thread is not None


def starts_thread() -> bool:
    """Whether a simulated thread is being started."""
    return _local.real


def place_of(frame: FrameType | None) -> str:
    """`describe_place` of a running frame."""
    return describe_place(
        (one.f_code.co_filename, line, one.f_code.co_name) for one, line in traceback.walk_stack(frame)
    )


def _is_anyio(thread: threading.Thread) -> bool:
    return type(thread).__module__.startswith("anyio.")


def _nothing() -> None:
    pass
