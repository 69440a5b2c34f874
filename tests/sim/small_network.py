"""Machines on simulated links and plain asyncio streams between them, without the rest of the runtime."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from harness.faults.primitives import ClientMatch, EndpointMatch, HostIdentity, PathMatch
from harness.sim.loop import SimLoop
from harness.sim.network.machine import Machine
from harness.sim.network.network import SimNetwork
from harness.system import Access, Link

PORT = 80

type Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

SERVERS = EndpointMatch(nodes=frozenset({"server"}))
CLIENTS = EndpointMatch(clients=ClientMatch())
TO_SERVER = PathMatch(CLIENTS, SERVERS)
TO_CLIENT = PathMatch(SERVERS, CLIENTS)


class SmallNetwork:
    """A network for one test: add machines, then `run` its main coroutine as the harness."""

    def __init__(self, *links: Link, seed: int = 1) -> None:
        self.loop = SimLoop(seed)
        self.network: SimNetwork = self.loop.network
        self._opened: list[asyncio.StreamWriter] = []
        for link in links:
            self.network.add_link(link)

    @property
    def now_s(self) -> float:
        return self.loop.now_s

    def server(self, handler: Handler, name: str = "server", zone: str = "there") -> Machine:
        """A machine that gives every connection to `handler`, then closes it; it listens when the run begins."""
        machine = self.network.add_machine(HostIdentity(name, "server", zone))

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._opened.append(writer)
            await handler(reader, writer)
            writer.close()

        async def main() -> None:
            server = await asyncio.start_server(handle, port=PORT)
            await server.serve_forever()

        self.loop.call_soon(machine.start, main)
        return machine

    def client(
        self, name: str = "client", zone: str = "here", group: str = "any", access: Access | None = None
    ) -> Machine:
        machine = self.network.add_machine(HostIdentity(name, "client", zone, group), access=access)

        async def main() -> None:
            await self.loop.create_future()

        machine.start(main)
        return machine

    async def connect(self, server: str = "server") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """From the machine of the running process. Closed at the end of the run."""
        reader, writer = await asyncio.open_connection(server, PORT)
        self._opened.append(writer)
        return reader, writer

    def run[T](self, main: Callable[[], Coroutine[Any, Any, T]], on: Machine | None = None) -> T:
        """Run `main` on a machine, or else (`on` is None) as the harness, in no process at all."""

        async def body() -> T:
            await asyncio.sleep(0)
            try:
                return await (main() if on is None else on.run(main()))
            finally:
                for writer in self._opened:
                    writer.transport.abort()

        return self.loop.run(body())


async def ignore(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Read to the end, say nothing."""
    while await reader.read(1 << 20):
        pass


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send back what comes, at once."""
    while data := await reader.read(1 << 20):
        writer.write(data)


async def send_size(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer a line with a number by so many bytes, and close."""
    size = int(await reader.readline())
    writer.write(bytes(size))
