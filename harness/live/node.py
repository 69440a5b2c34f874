"""The life of a node's process: its service, its host, and its channel to the harness. Forked by the fork server."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from harness.faults.primitives import HostIdentity
from harness.live import messages
from harness.live.host import DirectoryDisk, LiveClock, LiveHost
from harness.live.rows import RowCodec
from harness.runtime.interference import Interference, Interferer
from harness.runtime.messages import Channel
from harness.runtime.unhandled import is_defect, report_context, report_logs
from harness.system import Row, System, Topology
from harness.system.streams import stream
from harness.text import describe_error

COUNTS_EVERY_S = 0.2
"""How often changed counts are told."""


async def live(system: System, world: messages.World, launch: messages.Launch, line: socket.socket) -> None:
    """Run the node's service until the process is killed, or the harness is gone."""
    channel = await Channel.open(messages.NODE, line)
    node = _Node(system, world, launch, channel)
    asyncio.get_running_loop().set_exception_handler(node.exception_handler)
    report_logs(node.unhandled)
    service = asyncio.ensure_future(node.serve())
    telling = asyncio.ensure_future(node.tell_counts())
    listening = asyncio.ensure_future(node.listen())
    # Once the channel is closed, the harness is gone and nobody needs this process.
    await asyncio.wait({service, listening}, return_when=asyncio.FIRST_COMPLETED)
    telling.cancel()
    if not listening.done():
        await channel.aclose()


class _Node:
    def __init__(
        self,
        system: System,
        world: messages.World,
        launch: messages.Launch,
        channel: Channel,
    ) -> None:
        self._system = system
        self._world = world
        self._channel = channel
        self._rows = RowCodec(system)
        node = self._node = system.topology.node(launch.node)
        self.clock = LiveClock(world.origin_s)
        self.attempts: Counter[str] = Counter()
        self._told = messages.Counts()
        self._interference = Interference(self._served)
        self._interferers: dict[int, Interferer] = {}
        self._routes: dict[tuple[str, int], Sequence[messages.Address]] = {}
        self._asked: dict[int, asyncio.Future[Sequence[messages.Address]]] = {}
        self._numbers = count(1)
        self._host = LiveHost(
            self,
            HostIdentity(node.name, node.role, node.zone),
            config=node.config,
            rng=stream(world.seed, "host", node.name, launch.incarnation),
            disk=DirectoryDisk(Path(world.directory) / "disks" / node.name),
            router=self._route,
            address=launch.address,
            interference=self._interference,
            ready=lambda port: self._send(messages.Ready(port)),
        )

    # ------------------------------------------------------------------ what its host needs

    @property
    def system_name(self) -> str:
        return self._system.name

    @property
    def topology(self) -> Topology:
        return self._system.topology

    @property
    def safeguards(self) -> Mapping[str, bool]:
        return self._world.safeguards

    def emit(self, host: str, role: str, row: Row) -> None:
        self._send(messages.Emitted(self.clock.now(), self._rows.encode(row)))

    async def _route(self, name: str, port: int) -> Sequence[messages.Address]:
        known = self._routes.get((name, port))
        if known is None:
            number = next(self._numbers)
            answer = self._asked[number] = asyncio.get_running_loop().create_future()
            self._send(messages.Resolve(number, name, port))
            known = await answer
            if known:
                self._routes[name, port] = known
        return known

    # ------------------------------------------------------------------ life

    async def serve(self) -> None:
        try:
            await self._node.service(self._host)
        except asyncio.CancelledError:
            why = "its service cancelled itself"
        except Exception as error:
            why = describe_error(error)
            logging.getLogger(__name__).exception("the service of %s ended", self._node.name)
        else:
            why = "its service returned; a service runs until it is cancelled"
        self._send(messages.Ended(why))

    async def listen(self) -> None:
        async for message in self._channel:
            match message:
                case messages.Route(number, addresses):
                    answer = self._asked.pop(number)
                    if not answer.done():
                        answer.set_result(addresses)
                case messages.Interfere(number, rule, names):
                    interferer = Interferer(rule, stream(self._world.seed, *names))
                    self._interferers[number] = interferer
                    self._interference.add(interferer)
                case messages.StopInterfering(number):
                    if number in self._interferers:
                        self._interference.remove(self._interferers[number])
                case messages.Flush(number):
                    self._tell()
                    self._send(messages.Flushed(number))

    def _served(self) -> None:
        """A request has come. What is taken of it is told at once: this process may be killed next."""
        if self._interferers:
            asyncio.get_running_loop().call_soon(self._tell)

    async def tell_counts(self) -> None:
        while True:
            await asyncio.sleep(COUNTS_EVERY_S)
            self._tell()

    def _tell(self) -> None:
        taken = {number: each.exposure().requests for number, each in self._interferers.items()}
        counts = messages.Counts(dict(self.attempts), taken)
        if counts != self._told:
            self._told = counts
            self._send(counts)

    def _send(self, message: object) -> None:
        self._channel.send(message)

    # ------------------------------------------------------------------ errors that nobody handles

    def unhandled(self, error: str, cause: BaseException | None = None) -> None:
        self._send(messages.Unhandled(error, is_defect(cause)))

    def exception_handler(self, _loop: Any, context: Mapping[str, Any]) -> None:
        report_context(self.unhandled, context)
