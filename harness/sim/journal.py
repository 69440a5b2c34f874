"""What happens in the background of a simulated run, told to its journal."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from harness.runtime.journal import Journal, describe
from harness.sim.process import Process

_LOGGERS = ("aiohttp", "asyncio")


class SimJournal(Journal):
    """The journal of a run in virtual time: it knows whose code went wrong by the process that runs it."""

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
