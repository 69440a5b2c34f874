"""`Journal`: the rows of a run, the failures of its services, and the errors that nobody handles."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import aiohttp

from harness.runtime.contract import Recorded, ServiceFailure
from harness.runtime.host import HostError
from harness.text import describe_error

type Report = Callable[[str, BaseException | None], None]
"""Called with one line about the error, and the error where it is known."""

_LOGGERS = ("aiohttp", "asyncio")

# What a network does to a program that does not expect it. (aiohttp logs a client that left as an error.)
_NETWORK = (OSError, TimeoutError, EOFError, aiohttp.ClientError)


def is_defect(error: BaseException | None) -> bool:
    """Whether an error is one that no network causes."""
    return error is not None and not isinstance(error, _NETWORK)


def report_context(report: Report, context: Mapping[str, Any]) -> None:
    """Report what asyncio gives to an exception handler (`loop.set_exception_handler`)."""
    error = context.get("exception")
    if isinstance(error, HostError):
        return  # reported when it was raised
    message = str(context.get("message", "unhandled"))
    report(message if error is None else f"{message}: {describe_error(error)}", error)


class LogHandler(logging.Handler):
    """Reports warnings and errors."""

    def __init__(self, report: Report) -> None:
        super().__init__(logging.WARNING)
        self._report = report

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HostError):
            return  # reported when it was raised
        if error is None:
            self._report(record.getMessage(), None)
        else:
            # One line for an error, not one for each client: aiohttp's message names the client.
            self._report(f"{str(record.msg).replace(' from %s', '')}: {describe_error(error)}", error)


def report_logs(report: Report) -> LogHandler:
    """Report what asyncio and aiohttp log as warnings or errors, besides what becomes of it otherwise."""
    handler = LogHandler(report)
    for name in _LOGGERS:
        logging.getLogger(name).addHandler(handler)
    return handler


@contextmanager
def captured_logs(report: Report) -> Iterator[None]:
    """The same for the time of the block, instead of everything else."""
    before = [(name, logging.getLogger(name).propagate) for name in _LOGGERS]
    handler = report_logs(report)
    for name in _LOGGERS:
        logging.getLogger(name).propagate = False
    try:
        yield
    finally:
        for name, propagate in before:
            logging.getLogger(name).removeHandler(handler)
            logging.getLogger(name).propagate = propagate


MAX_ERRORS = 50
"""How many different background errors are kept, each with its count; others are counted together."""


class Journal:
    """`records` in the order of arrival, `failures` in the order of happening, both with run times."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._misuses: set[str] = set()
        self.records: list[Recorded] = []
        self.failures: list[ServiceFailure] = []
        self.background: dict[str, int] = {}
        self.broken_since_s: dict[str, float] = {}
        """The background errors that no network causes, and when each was first seen."""
        self.consulted_s: dict[str, float] = {}
        """By safeguard, when code first asked for it."""
        self.listeners: list[Callable[[Recorded], None]] = []
        """Called with each row, when it is recorded."""
        self.sealed = False
        """Whether the run is over: nothing is recorded any more."""

    def statistics(self) -> dict[str, Any]:
        """`records`; `unhandled_errors`: those of `background`, with their counts; `broken_since_s`."""
        return {
            "records": len(self.records),
            "unhandled_errors": dict(sorted(self.background.items())),
            "broken_since_s": dict(sorted(self.broken_since_s.items())),
        }

    def emit(self, host: str, row: object, t_s: float | None = None) -> None:
        """Record a row, emitted now if `t_s` is not given."""
        if not self.sealed:
            recorded = Recorded(self._now() if t_s is None else t_s, host, row)
            self.records.append(recorded)
            for listener in self.listeners:
                listener(recorded)

    def misuse(self, host: str, error: str, t_s: float | None = None) -> None:
        """Record a `HostError`, once for each text, which names the place. It is a failure, whatever caught it."""
        if not self.sealed and error not in self._misuses and len(self._misuses) < MAX_ERRORS:
            self._misuses.add(error)
            self.failures.append(ServiceFailure(self._now() if t_s is None else t_s, host, error))

    def consulted(self, safeguard: str, t_s: float | None = None) -> None:
        """Record when a safeguard is first consulted. Reports of other processes may arrive in any order."""
        if not self.sealed:
            now_s = self._now() if t_s is None else t_s
            self.consulted_s[safeguard] = min(now_s, self.consulted_s.get(safeguard, now_s))

    def fail(self, host: str, error: str) -> None:
        if not self.sealed:
            self.failures.append(ServiceFailure(self._now(), host, error))

    def unhandled(
        self, host: str, error: str, cause: BaseException | None = None, *, defect: bool = False
    ) -> None:
        """Count an error in the background of a host, by host and message.

        One whose `cause` is not about a connection is a `defect` of the service, and kept with its time.
        """
        if not self.sealed:
            key = f"{host}: {error}"
            if key not in self.background and len(self.background) >= MAX_ERRORS:
                key = "others"
            self.background[key] = self.background.get(key, 0) + 1
            # What fails only while it starts up, before run time 0, may; what goes on failing after it may not.
            if (defect or is_defect(cause)) and self.broken_since_s.get(key, -1.0) < 0:
                self.broken_since_s[key] = self._now()
