"""Where work is done: in this process, or in several. What comes out does not depend on which.

A piece of work is a picklable callable that gets `emit`. The parent hears events and outcomes over one pipe
a worker, so they come in order, and when a worker dies it is known what it was doing: that piece of work
alone is lost, and said to be.
"""

from __future__ import annotations

import multiprocessing
import pickle
import signal
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, Protocol

from harness.engine.events import EngineEvent

type Emit = Callable[[EngineEvent], None]
type Work = Callable[[Emit], Any]

STOP_S = 10.0
"""How long workers are given to undo their faults when everything is to stop; then they are killed."""

STOPPED = "interrupted"


@dataclass(frozen=True, slots=True)
class Done:
    """The outcome of one piece of work: its value, or in words what went wrong (and the traceback, if any)."""

    key: int
    value: Any = None
    error: str | None = None
    detail: str = ""


class Executor(Protocol):
    """`begin` is called with the key when a piece of work is taken up. Leave it with `stop`, always."""

    def submit(self, key: int, work: Work, *, first: bool = False) -> None:
        """Queue it; with `first` it is the next to be taken up."""
        ...

    def outcomes(self) -> Iterator[Done]:
        """Outcomes as they come, until nothing is queued or under way; more may be submitted meanwhile."""
        ...

    def stop(self) -> dict[int, str]:
        """Stop what is under way, and say what became of it, by key."""
        ...


class SerialExecutor:
    """In this process, one after the other in the order of submission."""

    def __init__(self, emit: Emit, begin: Callable[[int], None]) -> None:
        self._emit = emit
        self._begin = begin
        self._queue: deque[tuple[int, Work]] = deque()

    def submit(self, key: int, work: Work, *, first: bool = False) -> None:
        (self._queue.appendleft if first else self._queue.append)((key, work))

    def outcomes(self) -> Iterator[Done]:
        while self._queue:
            key, work = self._queue.popleft()
            self._begin(key)
            yield _outcome(key, work, self._emit)

    def stop(self) -> dict[int, str]:
        self._queue.clear()
        return {}


class Line:
    """A pipe between two processes, for any picklable message.

    `Connection.send` pickles into a BytesIO and keeps a view of it. Where it raises (the other process is gone, or
    this one is interrupted), view and buffer come into the traceback; once that is garbage, Python closes the
    buffer before the view is gone, and complains on stderr. Bytes have nothing to close.
    """

    def __init__(self, pipe: Connection) -> None:
        self.pipe = pipe

    def send(self, message: object) -> None:
        """Raises OSError (BrokenPipeError) when nobody is there."""
        self.pipe.send_bytes(pickle.dumps(message, pickle.HIGHEST_PROTOCOL))

    def recv(self) -> Any:
        """The next message, when there is one. Raises EOFError, OSError when nobody is there any more."""
        return pickle.loads(self.pipe.recv_bytes())


@dataclass(slots=True, eq=False)
class _Worker:
    process: Any
    line: Line
    key: int | None = None


class ProcessExecutor:
    """In up to `size` processes, started (spawned) as they are needed."""

    def __init__(self, size: int, emit: Emit, begin: Callable[[int], None]) -> None:
        self._size = size
        self._emit = emit
        self._begin = begin
        self._queue: deque[tuple[int, Work]] = deque()
        self._workers: list[_Worker] = []

    def submit(self, key: int, work: Work, *, first: bool = False) -> None:
        (self._queue.appendleft if first else self._queue.append)((key, work))

    def outcomes(self) -> Iterator[Done]:
        while True:
            yield from self._assign()
            busy = {worker.line.pipe: worker for worker in self._workers if worker.key is not None}
            if not busy:
                return
            for pipe in wait(list(busy)):
                done = self._hear(busy[pipe])  # type: ignore[index]
                if done is not None:
                    yield done

    def stop(self) -> dict[int, str]:
        self._queue.clear()
        said: dict[int, str] = {}
        for worker in self._workers:
            if worker.key is None:
                worker.line.pipe.close()  # it ends by itself
            else:
                worker.process.terminate()
        for worker in self._workers:
            if worker.key is not None:
                said[worker.key] = self._last_words(worker)
                worker.line.pipe.close()
            worker.process.join(STOP_S)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.process.close()
        self._workers.clear()
        return said

    def _assign(self) -> Iterator[Done]:
        """Give work to whoever has none; start workers while there is more."""
        idle = [worker for worker in self._workers if worker.key is None]
        while self._queue and (idle or len(self._workers) < self._size):
            worker = idle.pop() if idle else self._spawn()
            key, work = self._queue.popleft()
            self._begin(key)
            worker.key = key
            try:
                worker.line.send((key, work))
            except OSError:
                yield self._lost(worker)

    def _spawn(self) -> _Worker:
        context = multiprocessing.get_context("spawn")
        mine, its = context.Pipe()
        process = context.Process(target=_serve, args=(its,), daemon=True)
        with _deaf_to_ctrl_c():
            process.start()
        # Its end must be open in it alone, or its death would not be heard.
        its.close()
        worker = _Worker(process, Line(mine))
        self._workers.append(worker)
        return worker

    def _hear(self, worker: _Worker) -> Done | None:
        """One message of it: an event is passed on, an outcome returned."""
        try:
            message = worker.line.recv()
        except (EOFError, OSError):
            return self._lost(worker)
        if isinstance(message, Done):
            worker.key = None
            return message
        self._emit(message)
        return None

    def _lost(self, worker: _Worker) -> Done:
        key = worker.key
        assert key is not None
        self._workers.remove(worker)
        worker.line.pipe.close()
        worker.process.join(STOP_S)
        code = worker.process.exitcode
        why = "it closed its pipe" if code is None else f"exit code {code}"
        if code is not None and code < 0:
            why = f"killed by {signal.Signals(-code).name}"
            why += " (out of memory?)" if -code == signal.SIGKILL else ""
        if code is None:
            worker.process.kill()
        return Done(key, error=f"its worker process died: {why}")

    def _last_words(self, worker: _Worker) -> str:
        """What a worker that is to stop says of what it did, after the events it had sent before."""
        try:
            while worker.line.pipe.poll(STOP_S):
                message = worker.line.recv()
                if isinstance(message, Done):
                    return message.error or STOPPED
                self._emit(message)
        except (EOFError, OSError):
            return STOPPED
        return f"its worker process did not end within {STOP_S:g} s and was killed"


def _outcome(key: int, work: Work, emit: Emit) -> Done:
    try:
        return Done(key, work(emit))
    except Exception as error:  # one run is lost, the others go on
        return Done(key, error=f"{type(error).__name__}: {error}", detail=traceback.format_exc())


def _serve(pipe: Connection) -> None:
    """A worker's life: until the parent closes the pipe, or dies."""
    # Ctrl-C reaches the whole group; the parent decides. Its SIGTERM interrupts as Ctrl-C would.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    key, line = -1, Line(pipe)
    try:
        while True:
            key, work = line.recv()
            line.send(_outcome(key, work, line.send))
    except (EOFError, BrokenPipeError):
        pass
    except KeyboardInterrupt as interrupt:
        with suppress(OSError):
            line.send(Done(key, error=str(interrupt) or STOPPED))


@contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Hold SIGINT back while a process starts: it inherits that, and here Ctrl-C is late, not lost."""
    if not hasattr(signal, "pthread_sigmask") or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
