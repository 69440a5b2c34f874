"""Names of nodes and roles for every client library of a live run: `NamesLoop`, an event loop that resolves them.

`getaddrinfo` answers with the addresses of the nodes. A connection to such an address, or to a name, is made to the
proxy of the link, so that every port of a node is reached through the links. Servers listen at the address of their
node. Which host asks is in a context variable, for many clients share a process.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from harness.live.kernel.namespaces import MakeSocket
from harness.live.messages import Address
from harness.runtime.interference import Interference

MIN_PORT = 1024
PORT_SHIFT = 8000
"""Added to privileged ports, those below 1024: every node has an address of its own, so 80 becomes 8080."""

ANYWHERE = (None, "", "0.0.0.0", "::", "127.0.0.1", "::1", "localhost")
"""Hosts at which a server of a node may ask to listen: all of them are the node's own address."""


def real_port(port: int) -> int:
    """The port at which a node listens when its service asks for `port`."""
    return port if port >= MIN_PORT or port == 0 else port + PORT_SHIFT


type Router = Callable[[str, int], Awaitable[Sequence[Address]]]
"""Addresses of a role or node name and port, in the order to be tried."""


@dataclass(frozen=True, slots=True)
class Names:
    """What one host knows of the others.

    `nodes`: the roles and nodes of the system. `addresses`: of the nodes, by name. `sockets` makes those that it
    connects with. `own_address` of a node, and `listening`: called with each port at which it listens.
    """

    nodes: frozenset[str]
    addresses: Mapping[str, str]
    router: Router
    attempts: Counter[str]
    interference: Interference | None = None
    sockets: MakeSocket = socket.socket
    own_address: str | None = None
    listening: Callable[[int], None] = lambda _: None

    async def find(self, name: str, port: int) -> Sequence[Address]:
        """The proxies behind a name, or behind the address of a node. None of them for what is neither.

        A proxy accepts at once, whatever its latency: so this takes as long as the handshake does.
        """
        node = next((node for node, address in self.addresses.items() if address == name), None)
        if node is None and name not in self.nodes:
            return ()
        time = asyncio.get_running_loop().time
        began_s = time()
        found = await self.router(node or name, port)
        if found:
            await asyncio.sleep(max(0.0, began_s + found[0].rtt_s - time()))
        return found

    async def look_up(self, name: str) -> str:
        """The name that is asked for in its place, under DNS faults."""
        if self.interference is None or name not in self.nodes:
            return name
        return await self.interference.look_up(name)


_NAMES: ContextVar[Names | None] = ContextVar("harness.live.names", default=None)


def names_of_host(names: Names) -> Callable[[], None]:
    """Use these names in this context, and in the tasks that it starts. Returns its undo."""
    token = _NAMES.set(names)

    def undo() -> None:
        with contextlib.suppress(ValueError):  # another context, which ends with its task
            _NAMES.reset(token)

    return undo


def _text(host: object) -> str:
    return host.decode() if isinstance(host, bytes) else str(host)


class NamesLoop(asyncio.SelectorEventLoop):
    """The loop of the processes of nodes, and of the harness, whose clients are in it."""

    async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> Any:
        names = _NAMES.get()
        if names is None or host is None or _text(host) not in names.nodes:
            return await super().getaddrinfo(host, port, **options)
        number = int(port) if str(port or 0).isdigit() else socket.getservbyname(_text(port))
        found = await names.router(await names.look_up(_text(host)), number)
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, f"Name or service not known: '{_text(host)}'")
        kind = options.get("type") or socket.SOCK_STREAM
        return [
            (socket.AF_INET, kind, options.get("proto", 0), "", (names.addresses[each.node], number))
            for each in found
        ]

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        names = _NAMES.get()
        stream = sock.type == socket.SOCK_STREAM and isinstance(address, tuple)
        if names is not None and stream and (found := await names.find(_text(address[0]), address[1])):
            names.attempts[found[0].node] += 1
            address = (found[0].host, found[0].port)
        await super().sock_connect(sock, address)

    async def create_connection(
        self, protocol_factory: Any, host: Any = None, port: Any = None, **options: Any
    ) -> Any:
        names = _NAMES.get()
        if names is None or host is None or options.get("sock") is not None:
            return await super().create_connection(protocol_factory, host, port, **options)
        name = _text(host)
        found = await names.find(await names.look_up(name), int(port))
        if not found:
            if name in names.nodes:
                raise socket.gaierror(socket.EAI_NONAME, f"Name or service not known: '{name}'")
            return await super().create_connection(protocol_factory, host, port, **options)
        sock = await self._connect_to(names, found)
        if options.get("ssl"):
            options["server_hostname"] = options.get("server_hostname") or name
        for unused in ("family", "proto", "flags", "local_addr", "happy_eyeballs_delay", "interleave"):
            options.pop(unused, None)
        return await super().create_connection(protocol_factory, sock=sock, **options)

    async def _connect_to(self, names: Names, found: Sequence[Address]) -> socket.socket:
        """A socket to the first that answers; the last error when none does."""
        error: OSError = OSError("no address")
        for each in found:
            sock = names.sockets(socket.AF_INET, socket.SOCK_STREAM, 0)
            names.attempts[each.node] += 1
            try:
                sock.setblocking(False)
                await super().sock_connect(sock, (each.host, each.port))
            except OSError as refused:
                sock.close()
                error = refused
            except BaseException:
                sock.close()
                raise
            else:
                return sock
        raise error

    async def create_server(
        self, protocol_factory: Any, host: Any = None, port: Any = None, **options: Any
    ) -> asyncio.Server:
        names = _NAMES.get()
        if names is None or names.own_address is None:
            return await super().create_server(protocol_factory, host, port, **options)
        if options.get("sock") is None and host in (*ANYWHERE, names.own_address):
            host, port = names.own_address, real_port(port or 0)
            # A powered-off node is replaced by a listener at the same place before this process is killed.
            options |= {"reuse_address": True, "reuse_port": True, "family": socket.AF_INET}
        try:
            server = await super().create_server(protocol_factory, host, port, **options)
        except OSError as error:
            logging.getLogger(__name__).error("cannot listen at %s port %s: %s", host, port, error)
            raise
        for sock in server.sockets:
            if sock.family in (socket.AF_INET, socket.AF_INET6):
                names.listening(sock.getsockname()[1])
        return server
