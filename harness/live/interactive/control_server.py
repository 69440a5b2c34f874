"""`ControlServer`: applies and removes faults on a live session, for requests over a socket."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.errors import InvalidInput, UsageError
from harness.faults.base import Fault
from harness.faults.primitives import Applied, FaultFailed, ResolvedTarget
from harness.live.interactive.protocol import (
    CODEC,
    AddFault,
    Answer,
    FaultStatus,
    ListFaults,
    Refusal,
    RemoveFault,
    Request,
)
from harness.runtime.contract import Session
from harness.runtime.messages import Channel, MessageError

type MakeFault = Callable[[str, int], tuple[Fault, ResolvedTarget]]
"""From the text of a fault and its number. Raises InvalidInput."""

UNTIL_REMOVED_S = 86_400.0
"""How long a fault lasts, at most, when the person who applies it does not say `for`."""


@dataclass(slots=True)
class _Active:
    number: int
    fault: Fault
    target: ResolvedTarget
    applied: Applied
    since_s: float
    expiry: asyncio.Task[None] | None = None
    error: str | None = None


class ControlServer:
    """One change at a time. `report` is called with the status of each fault that changed."""

    def __init__(
        self,
        session: Session,
        make_fault: MakeFault,
        report: Callable[[FaultStatus], None],
        tasks: asyncio.TaskGroup,
    ) -> None:
        """`tasks`: where the ends of faults are waited for."""
        self._session = session
        self._tasks = tasks
        self._make_fault = make_fault
        self._report = report
        self._active: dict[int, _Active] = {}
        self._count = 0
        # One change after the other: a number is given to what could be applied.
        self._changing = asyncio.Lock()

    @asynccontextmanager
    async def listening(self, path: Path) -> AsyncIterator[None]:
        """Takes requests within the block. At its end all faults are removed, the last applied first."""
        try:
            async with await asyncio.start_unix_server(
                lambda reader, writer: self.serve(Channel(CODEC, reader, writer)), path
            ):
                yield
        finally:
            await self.remove_all()

    async def serve(self, channel: Channel) -> None:
        """Answer the requests on this channel until the other side closes it."""
        try:
            async for request in channel:
                channel.send(await self.answer(request))
        except MessageError as error:
            channel.send(Refusal((str(error),)))
        finally:
            await channel.aclose()

    async def answer(self, request: Request) -> Answer | Refusal:
        try:
            match request:
                case AddFault(fault=text):
                    async with self._changing:
                        return Answer(faults=(await self._add(text),))
                case RemoveFault(number=number):
                    async with self._changing:
                        return Answer(faults=(await self._remove(number),))
                case ListFaults():
                    return Answer(faults=tuple(map(self._status, self._active.values())))
        except InvalidInput as error:
            return Refusal(problems=tuple(map(str, error.diagnostics)))
        except FaultFailed as error:
            return Refusal(problems=(str(error),), usage=False)

    async def _add(self, text: str) -> FaultStatus:
        number = self._count + 1
        fault, target = self._make_fault(text, number)
        applied = await fault.apply(target, self._session.primitives)
        self._count = number
        active = _Active(number, fault, target, applied, self._session.clock.now())
        if not fault.lasts_s:
            await applied.undo()
            return self._reported(active, "done")
        self._active[number] = active
        active.expiry = self._tasks.create_task(self._expire(number, fault.lasts_s))
        return self._reported(active)

    async def _expire(self, number: int, after_s: float) -> None:
        await asyncio.sleep(after_s)
        async with self._changing:
            if number in self._active:
                # Reported, and listed as it is.
                with contextlib.suppress(FaultFailed):
                    await self._remove(number)

    async def _remove(self, number: int) -> FaultStatus:
        active = self._active.get(number)
        if active is None:
            numbers = ", ".join(map(str, self._active)) or "none"
            raise UsageError([f"no fault {number} is applied; applied: {numbers}"])
        try:
            await active.applied.undo()
        except FaultFailed as error:
            active.error = str(error)
            self._reported(active)
            raise
        del self._active[number]
        if active.expiry is not None and active.expiry is not asyncio.current_task():
            active.expiry.cancel()
        return self._reported(active, "removed")

    async def remove_all(self) -> None:
        """The last applied first. What cannot be undone is reported, and ends with its processes."""
        async with self._changing:
            for number in reversed(list(self._active)):
                with contextlib.suppress(FaultFailed):
                    await self._remove(number)

    def _reported(
        self, active: _Active, state: Literal["applied", "removed", "done"] = "applied"
    ) -> FaultStatus:
        status = self._status(active, state)
        self._report(status)
        return status

    def _status(
        self, active: _Active, state: Literal["applied", "removed", "done"] = "applied"
    ) -> FaultStatus:
        fault = active.fault
        left_s = None
        if fault.lasts_s < UNTIL_REMOVED_S:
            left_s = round(max(0.0, active.since_s + fault.lasts_s - self._session.clock.now()), 3)
        return FaultStatus(
            number=active.number,
            fault=fault.fault,
            parameters=fault.parameters(),
            targets=active.target.names,
            state=state,
            left_s=left_s,
            exposure=active.applied.exposure(),
            error=active.error,
        )
