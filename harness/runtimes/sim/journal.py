"""What a simulated run reports: rows, failures of services, and errors that nobody handled."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import aiohttp

from harness.runtimes.base import Recorded, ServiceFailure
from harness.runtimes.sim.process import Process
from harness.system import Event, System

_LOGGERS = ("aiohttp", "asyncio")

# What a network does to a program that does not expect it. (aiohttp logs a client that left as an error.)
_NETWORK = (OSError, TimeoutError, EOFError, aiohttp.ClientError)

KINDS_KEPT = 50
"""So many different background errors are kept, each counted; more are counted together."""


class Journal:
    """`records` in the order of emission, `failures` in the order of happening, both with virtual times."""

    def __init__(self, system: System, now: Callable[[], float]) -> None:
        self._tables = {table: name for name, table in system.tables.items()}
        self._events = system.events
        self._now = now
        self._complained: set[tuple[str, str]] = set()
        self.records: list[Recorded] = []
        self.failures: list[ServiceFailure] = []
        self.background: dict[str, int] = {}
        self.broken_since_s: dict[str, float] = {}
        """The background errors that no network makes, and when each was first seen."""
        self.sealed = False

    def emit(self, host: str, role: str, row: object) -> None:
        """Take a row. One that the system does not declare is a failure of the service that sent it."""
        if self.sealed:
            return
        if isinstance(row, Event):
            if row.name not in self._events:
                what = f"event '{row.name}', which the system does not declare"
                self._complain(host, role, what, self._events, "System.events")
                return
        elif type(row) not in self._tables:
            what = f"a row of {type(row).__qualname__}, which is no table of the system"
            tables = {f"{name} ({table.__qualname__})": "" for table, name in self._tables.items()}
            self._complain(host, role, what, tables, "System.tables")
            return
        self.records.append(Recorded(self._now(), host, row))

    def _complain(self, host: str, role: str, what: str, known: Mapping[str, Any], where: str) -> None:
        if (role, what) not in self._complained:
            self._complained.add((role, what))
            self.fail(host, f"emitted {what}; declared: {', '.join(known) or 'none'}; add it to {where}")

    def fail(self, host: str, error: str) -> None:
        if not self.sealed:
            self.failures.append(ServiceFailure(self._now(), host, error))

    def unhandled(self, host: str, error: str, cause: BaseException | None = None) -> None:
        """An error in the background of a host: counted, by host and what it says.

        One whose `cause` is not about a connection is a defect of the service: kept with its time.
        """
        if not self.sealed:
            key = f"{host}: {error}"
            if key not in self.background and len(self.background) >= KINDS_KEPT:
                key = "others"
            self.background[key] = self.background.get(key, 0) + 1
            if cause is not None and not isinstance(cause, _NETWORK):
                self.broken_since_s.setdefault(key, self._now())

    def exception_handler(self, _loop: Any, context: Mapping[str, Any]) -> None:
        """For `loop.set_exception_handler`."""
        error = context.get("exception")
        said = str(context.get("message", "unhandled"))
        task = context.get("task") or context.get("future")
        get_context = getattr(task, "get_context", None)
        process = get_context().get(Process.variable) if get_context else Process.current()
        self.unhandled(_name(process), said if error is None else f"{said}: {describe(error)}", error)

    @contextmanager
    def logs(self) -> Iterator[None]:
        """Keep what asyncio and aiohttp log as warnings or errors, instead of having it printed."""
        handler = _LogHandler(self)
        before = [(name, logging.getLogger(name).propagate) for name in _LOGGERS]
        for name in _LOGGERS:
            logging.getLogger(name).addHandler(handler)
            logging.getLogger(name).propagate = False
        try:
            yield
        finally:
            for name, propagate in before:
                logging.getLogger(name).removeHandler(handler)
                logging.getLogger(name).propagate = propagate


class _LogHandler(logging.Handler):
    def __init__(self, journal: Journal) -> None:
        super().__init__(logging.WARNING)
        self._journal = journal

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if error is None:
            said = record.getMessage()
        else:
            # One line for an error, not one for each client: aiohttp's message says who asked.
            said = f"{str(record.msg).replace(' from %s', '')}: {describe(error)}"
        self._journal.unhandled(_name(Process.current()), said, error)


def _name(process: Process | None) -> str:
    return "the harness" if process is None else process.machine.peer.name


def describe(error: BaseException) -> str:
    """One line: what it is, what it says, and where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({frames[-1].name}, line {frames[-1].lineno})" if frames else ""
    said = str(error)
    return f"{type(error).__name__}{f': {said}' if said else ''}{where}"
