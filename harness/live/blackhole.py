"""`Blackhole`: takes the place of a node without power. Nothing is answered, not even with RST."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import dataclass

from harness.faults.primitives import EndpointMatch, PathMatch
from harness.live.kernel.controller import Controller
from harness.live.link_faults import LinkFaults
from harness.live.names import real_port


@dataclass(frozen=True, eq=False, slots=True)
class Blackhole:
    """`_listeners`: closed before the service listens again. `_undo`: everything else."""

    _node: str
    _controller: Controller | None
    _listeners: ExitStack
    _undo: AsyncExitStack

    async def power_on(self) -> None:
        """Let the service of the node listen again; nothing reaches it before `restore`."""
        self.close()
        if self._controller is not None:
            await self._controller.power_on(self._node)

    async def restore(self) -> None:
        """End it: the node is reached again."""
        self.close()
        await self._undo.aclose()

    def close(self) -> None:
        """Close the sockets of this process. Idempotent."""
        self._listeners.close()


async def open_blackhole(
    node: str, address: str, ports: Iterable[int], faults: LinkFaults, controller: Controller | None
) -> Blackhole:
    """Nothing passes on the links of the node. `ports`: those on which its service has listened.

    With the kernel network, packets to and from the node are dropped, and connections from before are reset once it
    has power again. With proxies only, this process listens in place of the node.
    """
    async with AsyncExitStack() as undo:
        own, everyone = EndpointMatch(frozenset({node})), EndpointMatch(everything=True)
        for path in (PathMatch(everyone, own), PathMatch(own, everyone)):
            fault = await faults.add(path, None)
            undo.push_async_callback(faults.remove, fault)
        with ExitStack() as listeners:
            if controller is None:
                for port in sorted(ports):
                    listeners.enter_context(_silent_listener(address, port))
            else:
                undo.push_async_callback(controller.restore, node, address)
                await controller.isolate(node, address)
            blackhole = Blackhole(node, controller, listeners.pop_all(), undo.pop_all())
    return blackhole


@contextmanager
def _silent_listener(address: str, port: int) -> Iterator[None]:
    """Listens and accepts nothing: the kernel takes connects into the backlog and keeps what is sent. When it is
    closed, these connections are reset."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((address, real_port(port)))
        sock.listen(1024)
        yield
