"""`SimJournal`: the journal of a run in virtual time."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from harness.runtime.journal import Journal
from harness.runtime.unhandled import captured_logs, report_context
from harness.sim.process import Process


class SimJournal(Journal):
    """It attributes an unhandled error to the host whose process raised it."""

    def exception_handler(self, _loop: Any, context: Mapping[str, Any]) -> None:
        """For `loop.set_exception_handler`."""
        task = context.get("task") or context.get("future")
        get_context = getattr(task, "get_context", None)
        process = get_context().get(Process.variable) if get_context else Process.current()
        report_context(partial(self.unhandled, _host_of(process)), context)

    def captured_logs(self) -> AbstractContextManager[None]:
        """Keep what asyncio and aiohttp log as warnings or errors; it is not printed."""
        return captured_logs(
            lambda message, error: self.unhandled(_host_of(Process.current()), message, error)
        )


def _host_of(process: Process | None) -> str:
    return "the harness" if process is None else process.machine.identity.name
