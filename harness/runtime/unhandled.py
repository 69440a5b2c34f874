"""Errors that nobody handles: those of tasks and callbacks, and those that libraries only log."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import aiohttp

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
    message = str(context.get("message", "unhandled"))
    report(message if error is None else f"{message}: {describe_error(error)}", error)


class LogHandler(logging.Handler):
    """Reports warnings and errors."""

    def __init__(self, report: Report) -> None:
        super().__init__(logging.WARNING)
        self._report = report

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
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
