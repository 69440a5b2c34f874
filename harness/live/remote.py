"""`RemoteContext`: what hosts in a process other than the harness's share. Whatever they report goes to the harness."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import count
from typing import Any

from harness.live.host import LiveClock
from harness.live.messages import Address, Consulted, Emitted, Misuse, Resolve, Route, RowCodec, Unhandled
from harness.live.names import Router
from harness.runtime.host import HostError
from harness.runtime.journal import Journal, is_defect, report_context, report_logs
from harness.runtime.messages import MessageError
from harness.system import Row, System
from harness.text import describe_error

MAX_DEAD = 100
"""How many tasks that died are kept at most."""


class RemoteContext:
    """For hosts, a `harness.live.host.LiveContext`. `send` sends a message to the harness.

    `name`: of this process, for errors in the background.
    """

    def __init__(
        self,
        name: str,
        system: System,
        safeguards: Mapping[str, bool],
        clock: LiveClock,
        send: Callable[[object], None],
    ) -> None:
        self.name = name
        self.system = system
        self.safeguards = safeguards
        self.clock = clock
        self.attempts: Counter[str] = Counter()
        self.send = send
        self._rows = RowCodec(system)
        self._consulted: set[str] = set()
        self._routes: dict[tuple[str, str, int], Sequence[Address]] = {}
        self._lookups: dict[int, asyncio.Future[Sequence[Address]]] = {}
        self._numbers = count(1)
        self._dead: list[asyncio.Task[Any]] = []

    def emit(self, host: str, row: Row, t_s: float | None = None) -> None:
        try:
            self.send(Emitted(self.clock.now() if t_s is None else t_s, host, self._rows.encode(row)))
        except MessageError as error:
            raise HostError(f"emitted {row!r}: {error}") from error

    def misuse(self, host: str, error: str) -> None:
        self.send(Misuse(self.clock.now(), host, error))

    def consulted(self, host: str, safeguard: str) -> None:
        """Only the first time in this process: later ones add nothing."""
        if safeguard not in self._consulted:
            self._consulted.add(safeguard)
            self.send(Consulted(self.clock.now(), host, safeguard))

    def unhandled(self, error: str, cause: BaseException | None = None) -> None:
        """Report an error in the background of this process."""
        self.send(Unhandled(self.name, error, is_defect(cause)))

    def report_errors(self) -> None:
        """Report unhandled errors of the running loop, and what asyncio and aiohttp log."""
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: report_context(self.unhandled, context)
        )
        report_logs(self.unhandled)
        asyncio.get_running_loop().set_task_factory(self._create_task)

    def _create_task(self, loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> asyncio.Task[Any]:
        task = asyncio.Task(coro, loop=loop, **options)
        task.add_done_callback(self._keep_dead)
        return task

    def _keep_dead(self, task: asyncio.Task[Any]) -> None:
        """Keep a task that died of a defect: whether anybody looks at its exception is seen at the end."""
        error = None if task.cancelled() else task._exception
        if is_defect(error) and len(self._dead) < MAX_DEAD:
            self._dead.append(task)

    def report_dead_tasks(self) -> None:
        """Report tasks that died of a defect, if nobody has looked at it. (asyncio does so when the last reference is
        gone.)"""
        dead, self._dead = self._dead, []
        for task in dead:
            if task._log_traceback and (error := task.exception()) is not None:
                self.unhandled(f"Task exception was never retrieved: {describe_error(error)}", error)

    # ------------------------------------------------------------------ names

    def router(self, host: str) -> Router:
        """Resolves names for a host."""
        return partial(self._route, host)

    async def _route(self, host: str, name: str, port: int) -> Sequence[Address]:
        known = self._routes.get((host, name, port))
        if known is None:
            number = next(self._numbers)
            answer = self._lookups[number] = asyncio.get_running_loop().create_future()
            self.send(Resolve(number, host, name, port))
            known = await answer
            if known:
                self._routes[host, name, port] = known
        return known

    def set_route(self, route: Route) -> None:
        answer = self._lookups.pop(route.number)
        if not answer.done():
            answer.set_result(route.addresses)

    def forget(self, host: str) -> None:
        """Forget the routes of a host that has left."""
        for key in [key for key in self._routes if key[0] == host]:
            del self._routes[key]


def record(journal: Journal, rows: RowCodec, report: object) -> None:
    """In the harness: put a report of a `RemoteContext` into the journal."""
    match report:
        case Emitted(t_s, host, row):
            journal.emit(host, rows.decode(row), t_s)
        case Misuse(t_s, host, error):
            journal.misuse(host, error, t_s)
        case Consulted(t_s, _, safeguard):
            journal.consulted(safeguard, t_s)
        case Unhandled(host, error, defect):
            journal.unhandled(host, error, defect=defect)
