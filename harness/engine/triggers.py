"""`EventWatch`: waits for the event of a system that a fault's `when` names."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.experiment.model import Trigger
from harness.history.sql import shared_connection
from harness.history.table import quoted
from harness.runtime.contract import Recorded
from harness.system import Event, Scalar

_WORD = re.compile(r"'(?:[^']|'')*'|([A-Za-z_]\w*)")


def condition_names(where: str) -> tuple[str, ...]:
    """The words of a condition that may be fields of an event; strings are none."""
    return tuple(dict.fromkeys(name for name in _WORD.findall(where) if name))


def holds(where: str, host: str, t_s: float, fields: Mapping[str, Scalar]) -> bool:
    """Whether a condition is true for an event. A field that the event does not have is null."""
    known = {"host": host, "node": host, "t_s": t_s, **fields}
    names = [name for name in condition_names(where) if name in known]
    columns = ", ".join(f"? AS {quoted(name)}" for name in names) or "0 AS nothing"
    lacking = [name for name in condition_names(where) if name not in known]
    nulls = "".join(f", NULL AS {quoted(name)}" for name in lacking)
    sql = f"SELECT coalesce(({where}\n), false) FROM (SELECT {columns}{nulls})"
    with shared_connection() as connection:
        row = connection.execute(sql, [known[name] for name in names]).fetchone()
    return row is not None and row[0] is True


@dataclass(slots=True, eq=False)
class _Waiting:
    event: str
    seen: deque[Recorded] = field(default_factory=deque)
    woken: asyncio.Event = field(default_factory=asyncio.Event)


class EventWatch:
    """Called with each row that is recorded (`Session.listen`)."""

    def __init__(self) -> None:
        self._waiting: list[_Waiting] = []

    def __call__(self, recorded: Recorded) -> None:
        row = recorded.row
        if isinstance(row, Event):
            for waiting in self._waiting:
                if waiting.event == row.name:
                    waiting.seen.append(recorded)
                    waiting.woken.set()

    async def wait_for(self, trigger: Trigger, not_before_s: float) -> None:
        """Until the first such event from then on. The condition is evaluated here, not in the process that emits."""
        waiting = _Waiting(trigger.event)
        self._waiting.append(waiting)
        try:
            while True:
                while waiting.seen:
                    recorded = waiting.seen.popleft()
                    if recorded.t_s >= not_before_s and _matches(trigger, recorded):
                        return
                waiting.woken.clear()
                await waiting.woken.wait()
        finally:
            self._waiting.remove(waiting)


def _matches(trigger: Trigger, recorded: Recorded) -> bool:
    row = recorded.row
    assert isinstance(row, Event)
    return trigger.where is None or holds(trigger.where, recorded.host, recorded.t_s, row.fields)
