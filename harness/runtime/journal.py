"""What a run reports: rows, failures of services, and errors that nobody handled. The same in every runtime."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp

from harness.runtime.contract import Recorded, ServiceFailure
from harness.system import Event, System

# What a network does to a program that does not expect it. (aiohttp logs a client that left as an error.)
_NETWORK = (OSError, TimeoutError, EOFError, aiohttp.ClientError)

KINDS_KEPT = 50
"""So many different background errors are kept, each counted; more are counted together."""


class Journal:
    """`records` in the order of arrival, `failures` in the order of happening, both with run times."""

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

    def emit(self, host: str, role: str, row: object, t_s: float | None = None) -> None:
        """Take a row (emitted now, if `t_s` is not given). One that the system does not declare is a failure
        of the service that sent it."""
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
        self.records.append(Recorded(self._now() if t_s is None else t_s, host, row))

    def _complain(self, host: str, role: str, what: str, known: Mapping[str, Any], where: str) -> None:
        if (role, what) not in self._complained:
            self._complained.add((role, what))
            self.fail(host, f"emitted {what}; declared: {', '.join(known) or 'none'}; add it to {where}")

    def fail(self, host: str, error: str) -> None:
        if not self.sealed:
            self.failures.append(ServiceFailure(self._now(), host, error))

    def unhandled(
        self, host: str, error: str, cause: BaseException | None = None, *, defect: bool = False
    ) -> None:
        """An error in the background of a host: counted, by host and what it says.

        One whose `cause` is not about a connection is a `defect` of the service: kept with its time.
        """
        if not self.sealed:
            key = f"{host}: {error}"
            if key not in self.background and len(self.background) >= KINDS_KEPT:
                key = "others"
            self.background[key] = self.background.get(key, 0) + 1
            if defect or is_defect(cause):
                self.broken_since_s.setdefault(key, self._now())


def is_defect(cause: BaseException | None) -> bool:
    """Whether an error is one that no network makes."""
    return cause is not None and not isinstance(cause, _NETWORK)


def describe(error: BaseException) -> str:
    """One line: what it is, what it says, and where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({frames[-1].name}, line {frames[-1].lineno})" if frames else ""
    said = str(error)
    return f"{type(error).__name__}{f': {said}' if said else ''}{where}"
