"""Executors of work: in this process, or in several. The results do not depend on which.

A piece of work is a picklable callable that gets a handler of events. The parent receives events and outcomes over
one pipe a worker, so they come in order, and when a worker dies it is known what it was doing: only that piece of
work is lost, and its outcome is an error.
"""

from __future__ import annotations

import math
import multiprocessing
import pickle
import signal
import threading
import time
import traceback
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from harness.engine.budget import EXIT_FORCED, BudgetExceeded
from harness.engine.events import Handler

type Work = Callable[[Handler], Any]

STOP_S = 10.0
"""How long workers may take to undo their faults when everything stops; then they are killed."""

STOPPED = "interrupted"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The value of one piece of work, or its error (and the traceback, if any)."""

    key: int
    value: Any = None
    error: str | None = None
    detail: str = ""


class Executor(ABC):
    """`begin` is called with the key when a piece of work is started. Always end with `stop`."""

    def __init__(self, emit: Handler, begin: Callable[[int], None]) -> None:
        self._emit = emit
        self._begin = begin
        self._queue: deque[tuple[int, Work, float | None]] = deque()

    def submit(self, key: int, work: Work, *, first: bool = False, limit_s: float | None = None) -> None:
        """Queue it; with `first` it is the next to be started.

        `limit_s`: real time after which its process, if it has one of its own, is killed.
        """
        (self._queue.appendleft if first else self._queue.append)((key, work, limit_s))

    @abstractmethod
    def outcomes(self) -> Iterator[Outcome]:
        """Outcomes as they come, until nothing is queued or running; more may be submitted meanwhile."""

    @abstractmethod
    def stop(self) -> dict[int, str]:
        """Stop what is running. Returns the reason that each gives, by key."""


class SerialExecutor(Executor):
    """In this process, one after the other in the order of submission."""

    def outcomes(self) -> Iterator[Outcome]:
        while self._queue:
            key, work, _ = self._queue.popleft()
            self._begin(key)
            yield _execute(key, work, self._emit)

    def stop(self) -> dict[int, str]:
        self._queue.clear()
        return {}


class MessagePipe:
    """A pipe between two processes, for any picklable message.

    `Connection.send` pickles into a BytesIO and keeps a view of it. Where it raises (the other process is gone, or
    this one is interrupted), view and buffer are in the traceback; when that is collected, Python closes the buffer
    before the view, and complains on stderr. Bytes have nothing to close.
    """

    def __init__(self, pipe: Connection) -> None:
        self.pipe = pipe

    def send(self, message: object) -> None:
        """Raises OSError (BrokenPipeError) when the other end is closed."""
        self.pipe.send_bytes(pickle.dumps(message, pickle.HIGHEST_PROTOCOL))

    def recv(self) -> Any:
        """Wait for the next message. Raises EOFError, OSError when the other end is closed."""
        return pickle.loads(self.pipe.recv_bytes())


@dataclass(slots=True, eq=False)
class _Worker:
    process: Any
    messages: MessagePipe
    key: int | None = None
    ends_s: float = math.inf
    """When its work must be over, by `time.perf_counter`."""
    overdue: bool = False


class ProcessExecutor(Executor):
    """In up to `size` processes, started (spawned) as they are needed."""

    def __init__(self, size: int, emit: Handler, begin: Callable[[int], None]) -> None:
        super().__init__(emit, begin)
        self._size = size
        self._workers: list[_Worker] = []

    def outcomes(self) -> Iterator[Outcome]:
        while True:
            yield from self._assign()
            busy = {worker.messages.pipe: worker for worker in self._workers if worker.key is not None}
            if not busy:
                return
            first_s = min(worker.ends_s for worker in busy.values())
            left_s = None if first_s == math.inf else max(0.0, first_s - time.perf_counter())
            for pipe in wait(list(busy), left_s):
                outcome = self._receive(busy[pipe])  # type: ignore[index]
                if outcome is not None:
                    yield outcome
            for worker in busy.values():
                if worker.key is not None and time.perf_counter() > worker.ends_s:
                    worker.overdue, worker.ends_s = True, math.inf
                    worker.process.kill()

    def stop(self) -> dict[int, str]:
        self._queue.clear()
        reasons: dict[int, str] = {}
        for worker in self._workers:
            if worker.key is None:
                worker.messages.pipe.close()  # it ends by itself
            else:
                worker.process.terminate()
        for worker in self._workers:
            if worker.key is not None:
                reasons[worker.key] = self._final_outcome(worker)
                worker.messages.pipe.close()
            worker.process.join(STOP_S)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.process.close()
        self._workers.clear()
        return reasons

    def _assign(self) -> Iterator[Outcome]:
        """Give work to idle workers; start workers while there is more."""
        idle = [worker for worker in self._workers if worker.key is None]
        while self._queue and (idle or len(self._workers) < self._size):
            worker = idle.pop() if idle else self._spawn()
            key, work, limit_s = self._queue.popleft()
            self._begin(key)
            worker.key = key
            worker.ends_s = math.inf if limit_s is None else time.perf_counter() + limit_s
            try:
                worker.messages.send((key, work))
            except OSError:
                yield self._died(worker)

    def _spawn(self) -> _Worker:
        context = multiprocessing.get_context("spawn")
        mine, its = context.Pipe()
        process = context.Process(target=_serve, args=(its,), daemon=True)
        with _sigint_blocked():
            process.start()
        # Its end must be open in it alone, or its death would not be noticed.
        its.close()
        worker = _Worker(process, MessagePipe(mine))
        self._workers.append(worker)
        return worker

    def _receive(self, worker: _Worker) -> Outcome | None:
        """One message of the worker: an event is passed on, an outcome returned."""
        try:
            message = worker.messages.recv()
        except (EOFError, OSError):
            return self._died(worker)
        if isinstance(message, Outcome):
            worker.key = None
            return message
        self._emit(message)
        return None

    def _died(self, worker: _Worker) -> Outcome:
        key = worker.key
        assert key is not None
        self._workers.remove(worker)
        worker.messages.pipe.close()
        worker.process.join(STOP_S)
        code = worker.process.exitcode
        why = "it closed its pipe" if code is None else f"exit code {code}"
        if worker.overdue or code == EXIT_FORCED:
            why = "it exceeded its budget of real time, did not react to signals, and was ended by force"
        elif code is not None and code < 0:
            why = f"killed by {signal.Signals(-code).name}"
            why += " (out of memory?)" if -code == signal.SIGKILL else ""
        if code is None:
            worker.process.kill()
        return Outcome(key, error=f"its worker process died: {why}")

    def _final_outcome(self, worker: _Worker) -> str:
        """The error of a worker that stops, after the events it has sent before."""
        try:
            while worker.messages.pipe.poll(STOP_S):
                message = worker.messages.recv()
                if isinstance(message, Outcome):
                    return message.error or STOPPED
                self._emit(message)
        except (EOFError, OSError):
            return STOPPED
        return f"its worker process did not end within {STOP_S:g} s and was killed"


def _execute(key: int, work: Work, emit: Handler) -> Outcome:
    try:
        return Outcome(key, work(emit))
    except BudgetExceeded as error:
        return Outcome(key, error=str(error))
    except Exception as error:  # one run is lost, the others go on
        return Outcome(key, error=f"{type(error).__name__}: {error}", detail=traceback.format_exc())


def _serve(pipe: Connection) -> None:
    """The main function of a worker: until the parent closes the pipe, or dies."""
    # Ctrl-C reaches the whole group; the parent decides. Its SIGTERM interrupts as Ctrl-C would.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    key, messages = -1, MessagePipe(pipe)
    try:
        while True:
            key, work = messages.recv()
            messages.send(_execute(key, work, messages.send))
    except (EOFError, BrokenPipeError):
        pass
    except KeyboardInterrupt as interrupt:
        with suppress(OSError):
            messages.send(Outcome(key, error=str(interrupt) or STOPPED))


@contextmanager
def _sigint_blocked() -> Iterator[None]:
    """Block SIGINT while a process starts: it inherits that; here Ctrl-C is delayed, not lost."""
    if not hasattr(signal, "pthread_sigmask") or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
