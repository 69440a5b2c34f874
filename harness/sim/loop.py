"""An event loop in virtual time: asyncio's own, except that it advances the clock instead of waiting.

Tasks, futures, timers and their order are the standard library's. Only the selector is ours: where another
one waits for sockets, it runs the simulated network and advances the clock to whatever happens next. What
would leave the process (sockets, threads, processes, signals) is either simulated or refused.
"""

from __future__ import annotations

import asyncio
import heapq
import math
import threading
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, NoReturn

from harness.sim.connections import ConnectionMethods
from harness.sim.network.network import SimNetwork
from harness.sim.order import TaskOrder
from harness.sim.patching import RefusedError
from harness.sim.process import Process
from harness.sim.threads import ThreadError, Threads, VirtualTimeError, is_simulated
from harness.text import caller_place, describe_place

# Rounds of callbacks at one instant before the network is run, and before it is a livelock.
_SPINS_BEFORE_NETWORK = 64
_SPINS_BEFORE_LIVELOCK = 500_000

_RESOLUTION_S = 1e-9
_FINE_UNTIL_S = 2.0**20


CANCEL_S = 30.0
"""How long cancelled tasks may take to end when the loop does, in virtual time."""


class SimTask[T](asyncio.Task[T]):
    """A task hashed by the order of creation, so that sets of tasks are iterated the same way every run.

    It belongs to the process whose code made it, by `create_task` or (as aiohttp does) by the class itself.
    """

    _index: int

    def __new__(
        cls, _coro: Any = None, *, loop: Any = None, context: Context | None = None, **_kwargs: Any
    ) -> SimTask[T]:
        # All this before it is initialised: then it registers itself in a set, and an eager one runs.
        self = super().__new__(cls)
        loop = asyncio.get_running_loop() if loop is None else loop
        self._index = loop.next_task_index() if isinstance(loop, SimLoop) else id(self)
        process = Process.current() if context is None else context.get(Process.variable)
        if process is not None:
            process.spawned.add(self)
        return self

    def __hash__(self) -> int:
        return self._index


class _Selector:
    """Replaces the loop's selector."""

    def __init__(self, loop: SimLoop) -> None:
        self._loop = loop
        self._spins = 0

    def select(self, timeout: float | None) -> list[Any]:
        loop, network = self._loop, self._loop.network
        if loop.fatal is not None:
            error, loop.fatal = loop.fatal, None
            raise error
        if loop.threads.active:
            loop.threads.run()
        if timeout == 0:
            self._spins += 1
            if self._spins % _SPINS_BEFORE_NETWORK:
                return []
            if self._spins > _SPINS_BEFORE_LIVELOCK:
                self._spins = 0
                raise VirtualTimeError(
                    f"livelock at t={loop.now_s:.6f} s: {_SPINS_BEFORE_LIVELOCK:,} rounds of callbacks, and "
                    f"time did not advance: {loop.describe_ready()}; look for a loop that awaits sleep(0), or that "
                    "never waits"
                )
            network.flush(loop.now_s)
            network.run_due(loop.now_s)
            return []
        self._spins = 0
        network.flush(loop.now_s)
        if loop.has_ready():
            return []
        timer, event = loop.next_timer_s(), network.next_event_s()
        target = min(timer, event)
        if target == float("inf"):
            if timeout is not None:
                return []
            raise VirtualTimeError(
                f"deadlock at t={loop.now_s:.6f} s: nothing will happen any more; {loop.describe_tasks()}"
            )
        if target > loop.now_s:
            loop.advance_to(target)
        if event <= loop.now_s:
            network.run_due(loop.now_s)
        return []

    def close(self) -> None:
        pass


class _OrderedSelector(_Selector):
    """Arranges the steps that are ready before each turn."""

    def __init__(self, loop: SimLoop, order: TaskOrder) -> None:
        super().__init__(loop)
        self._order = order

    def select(self, timeout: float | None) -> list[Any]:
        ready = self._loop._ready
        self._order.restore(ready)
        events = super().select(0 if ready else timeout)
        self._order.arrange(ready)
        return events


class SimLoop(ConnectionMethods):
    """`now_s` is virtual time, from 0. `network` is where its sockets connect. `order`: that of ready tasks; None:
    asyncio's own."""

    # What BaseEventLoop keeps; typed here because the stubs hide it.
    _ready: Any
    _scheduled: list[asyncio.TimerHandle]
    _clock_resolution: float
    _thread_id: int | None

    def __init__(self, seed: int = 0, order: TaskOrder | None = None) -> None:
        super().__init__()
        self.now_s = 0.0
        self._order = order
        self._clock_resolution = _RESOLUTION_S
        self._tasks_made = 0
        self._factories: dict[Process | None, Any] = {}
        self.network = SimNetwork(self, seed)
        self.threads = Threads(self)
        self.fatal: VirtualTimeError | None = None
        """What the run ends with as soon as the loop has its turn."""
        self.seal: Callable[[], None] = _nothing
        """Called when the run is lost: what happens from now on is of no interest."""
        self.report_misuse: Callable[[str], None] = _ignore
        """Called with an error of the process that runs, which makes the run an error whatever catches it."""
        self._selector = _Selector(self) if order is None else _OrderedSelector(self, order)

    def time(self) -> float:
        return self.now_s

    def advance_to(self, now_s: float) -> None:
        """Advance the clock."""
        self.now_s = now_s
        if now_s > _FINE_UNTIL_S:
            # A timer is due when it is less than this away, which has to be more than the last bit of the time.
            self._clock_resolution = 2 * math.ulp(now_s)

    def count_ready(self) -> int:
        """How many callbacks are about to run."""
        return len(self._ready)

    def contexts_since(self, count: int) -> list[Context]:
        """The contexts of the callbacks that were added when there were already so many."""
        ready = self._ready
        return [ready[index]._context for index in range(count, len(ready))]

    def has_ready(self) -> bool:
        return bool(self._ready)

    def next_timer_s(self) -> float:
        """When the next timer that was not cancelled is due; inf when there is none."""
        scheduled = self._scheduled
        while scheduled and scheduled[0].cancelled():
            handle = heapq.heappop(scheduled)
            self._timer_cancelled_count = max(0, getattr(self, "_timer_cancelled_count", 0) - 1)
            handle._scheduled = False  # type: ignore[attr-defined]
        return scheduled[0].when() if scheduled else float("inf")

    def describe_tasks(self) -> str:
        """The unfinished tasks, for the message of a deadlock."""
        names = sorted(f"{task.get_name()} ({_where(task)})" for task in asyncio.all_tasks(self))
        names += self.threads.describe()
        shown = "; ".join(names[:8]) + (f"; and {len(names) - 8} more" if len(names) > 8 else "")
        return f"{len(names)} tasks wait: {shown}" if names else "no task is left"

    def describe_ready(self) -> str:
        """The tasks that are about to run, and where, for the message of a livelock."""
        tasks = [getattr(handle._callback, "__self__", None) for handle in self._ready]
        places = {
            f"{_host_of(task)} ({_place(task)})": None for task in tasks if isinstance(task, asyncio.Task)
        }
        shown = list(places)
        return "; ".join(shown[:3]) + (f"; and {len(shown) - 3} more" if len(shown) > 3 else "") or "no task"

    def create_task(
        self, coro: Any, *, name: object = None, context: Context | None = None, **kwargs: Any
    ) -> asyncio.Task[Any]:
        self._check_closed()  # type: ignore[attr-defined]
        name = name or f"task-{self._tasks_made + 1}"
        factory = self._factories.get(Process.current()) if self._factories else None
        if factory is asyncio.eager_task_factory:
            return SimTask(coro, loop=self, name=name, context=context, eager_start=True, **kwargs)
        if factory is not None:
            if context is not None:
                kwargs["context"] = context
            task: asyncio.Task[Any] = factory(self, coro, **kwargs)
            task.set_name(str(name))
            if (process := Process.current()) is not None:
                process.spawned.add(task)
            return task
        return SimTask(coro, loop=self, name=name, context=context, **kwargs)

    def set_task_factory(self, factory: Any) -> None:
        """For tasks of the process that calls: each has its own."""
        if factory is not None and not callable(factory):
            raise TypeError("task factory must be a callable or None")
        self._factories[Process.current()] = factory

    def get_task_factory(self) -> Any:
        return self._factories.get(Process.current())

    def next_task_index(self) -> int:
        self._tasks_made += 1
        return self._tasks_made

    # --- what BaseEventLoop asks of a subclass ---

    def _process_events(self, event_list: list[Any]) -> None:
        pass

    def _write_to_self(self) -> None:
        """Nothing to wake: the loop never waits."""

    def close(self) -> None:
        if not self.is_closed():
            self.network.close()
        super().close()

    # --- holding back one process (SIGSTOP) ---

    def hold(self, process: Process) -> None:
        """Remove from the loop everything that this process is about to run, now or later."""
        if self._order is not None:
            self._order.restore(self._ready)
        ready = list(self._ready)
        process.held_ready = [handle for handle in ready if _belongs(handle, process)]
        # The loop has counted what is ready, so a placeholder replaces what is removed.
        nothing = asyncio.Handle(_nothing, (), self)
        nothing.cancel()
        self._ready.clear()
        self._ready.extend(nothing if _belongs(handle, process) else handle for handle in ready)
        process.held_timers = [handle for handle in self._scheduled if _belongs(handle, process)]
        if process.held_timers:
            held = set(map(id, process.held_timers))
            self._scheduled[:] = [handle for handle in self._scheduled if id(handle) not in held]
            heapq.heapify(self._scheduled)
            for timer in process.held_timers:
                timer._scheduled = False  # type: ignore[attr-defined]

    def release(self, process: Process) -> None:
        """Add it all again; timers that are overdue fire at once, in their order."""
        self._ready.extend(handle for handle in process.held_ready if not handle.cancelled())
        for timer in process.held_timers:
            if not timer.cancelled():
                timer._scheduled = True  # type: ignore[attr-defined]
                heapq.heappush(self._scheduled, timer)
        process.held_ready, process.held_timers = [], []

    # --- signals, programs and pipes ---

    def add_signal_handler[*Ts](self, sig: int, callback: Callable[[*Ts], Any], *args: *Ts) -> NoReturn:
        # Programs expect this one, for event loops without signals.
        _refuse("a signal handler", "no signal arrives; faults end processes")

    async def subprocess_exec(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise self.refusal("starting a program", "a node of the topology for it")

    subprocess_shell = subprocess_exec

    async def connect_read_pipe(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise self.refusal("a pipe", "asyncio.Queue, or a connection")

    connect_write_pipe = connect_read_pipe

    def add_reader[*Ts](self, fd: Any, callback: Callable[[*Ts], Any], *args: *Ts) -> NoReturn:
        raise self.refusal("waiting for a file descriptor", "streams, or the sock_* methods of the loop")

    add_writer = remove_reader = remove_writer = add_reader  # type: ignore[assignment]

    # --- threads, and what is refused ---

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        """Run the function in a thread of the process (`harness.sim.threads`), for the harness itself in line."""
        if Process.current() is not None and Threads.current is self.threads:
            return super().run_in_executor(self.threads.executor(executor), func, *args)
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    def call_soon_threadsafe[*Ts](
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """As `call_soon`, from threads of the simulation. ThreadError from any other: its time is not virtual."""
        if self._thread_id not in (None, threading.get_ident()) and not is_simulated():
            raise ThreadError(
                f"thread {threading.current_thread().name} calls the loop, but is not simulated: it was started "
                f"before the run, or by other means than threading.Thread ({caller_place()})"
            )
        return super().call_soon_threadsafe(callback, *args, context=context)

    def fail(self, error: VirtualTimeError) -> None:
        """End the run as soon as the loop has its turn."""
        self.fatal = error
        self.seal()

    def refusal(self, what: str, instead: str) -> RefusedError:
        """The error to raise for what leaves or blocks the simulated world. The run is an error, whatever catches
        it."""
        error = RefusedError(f"{what} is not simulated; use {instead}")
        self.report_misuse(f"{RefusedError.__name__}: {error} ({caller_place()})")
        return error

    def run[T](self, main: Coroutine[Any, Any, T]) -> T:
        """As `asyncio.run`: run to the end, then cancel all other tasks and close the loop."""
        asyncio.set_event_loop(self)
        try:
            return self.run_until_complete(main)
        finally:
            try:
                self._cancel_all()
                self.run_until_complete(self.shutdown_asyncgens())
            finally:
                asyncio.set_event_loop(None)
                self.close()

    def cancel_tasks_of(self, process: Process) -> None:
        """Cancel all tasks of a dead process; whatever they still do has no effect."""
        for task in sorted(process.spawned, key=hash):
            task.cancel()
        self.threads.kill(process)

    def _cancel_all(self) -> None:
        tasks = sorted(asyncio.all_tasks(self), key=hash)
        for task in tasks:
            task.cancel()
        if tasks:
            # Not a task of its own: what ends here may cancel all tasks that there are.
            over = self.create_future()

            def end(_: object = None) -> None:
                if not over.done():
                    over.set_result(None)

            asyncio.gather(*tasks, return_exceptions=True).add_done_callback(end)
            self.call_later(CANCEL_S, end)
            self.run_until_complete(over)
        for task in tasks:
            # What goes on for ever although it was cancelled goes with the loop.
            task._log_destroy_pending = task.done()  # type: ignore[attr-defined]


def _nothing() -> None:
    pass


def _ignore(_: str) -> None:
    pass


def _belongs(handle: Any, process: Process) -> bool:
    return handle._context.get(process.variable) is process


def _where(task: asyncio.Task[Any]) -> str:
    frames = task.get_stack(limit=1)
    if not frames:
        return "not started"
    code = frames[-1].f_code
    return f"{code.co_qualname}, line {frames[-1].f_lineno}"


def _host_of(task: asyncio.Task[Any]) -> str:
    process = task.get_context().get(Process.variable)
    return "the harness" if process is None else process.machine.identity.name


def _place(task: asyncio.Task[Any]) -> str:
    """Where a task waits, in the code of a user if there is some."""
    frames, waiting = [], task.get_coro()
    while waiting is not None:
        frame = getattr(waiting, "cr_frame", None) or getattr(waiting, "gi_frame", None)
        if frame is not None:
            frames.append((frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name))
        waiting = getattr(waiting, "cr_await", None) or getattr(waiting, "gi_yieldfrom", None)
    return describe_place(frames[::-1]) if frames else task.get_name()


def _refuse(what: str, instead: str) -> NoReturn:
    raise NotImplementedError(f"{what} is not simulated: {instead}")
