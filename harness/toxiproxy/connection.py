"""One client of a proxy: the dial to the upstream, then two relays, then an end that both sides see."""

from __future__ import annotations

import contextlib
import logging
import random
import socket
import struct
from collections.abc import Callable, Sequence

from harness.toxiproxy.chunk import End
from harness.toxiproxy.context import ServerContext
from harness.toxiproxy.descriptors import DESCRIPTORS
from harness.toxiproxy.dial import Dial
from harness.toxiproxy.metrics import Meter, Traffic
from harness.toxiproxy.relay import Relay
from harness.toxiproxy.toxic import Direction, Toxic
from harness.toxiproxy.toxics.reset_peer import ResetPeer

_DRAIN_BYTES = 1 << 20  # of unread data at most, so that closing never takes long
_LINGER_RESET = struct.pack("ii", 1, 0)  # close() sends RST and drops what was not sent

log = logging.getLogger("harness.toxiproxy")


class Connection:
    """Args:
    name: of the proxy, for the log and the random numbers; `number` counts its connections.
    toxics: the toxics of a direction, asked for when the upstream has answered.
    closed: called once, when everything is closed.
    """

    def __init__(
        self,
        context: ServerContext,
        client: socket.socket,
        *,
        name: str,
        number: int,
        upstream: str,
        traffic: Traffic,
        toxics: Callable[[Direction], Sequence[Toxic]],
        closed: Callable[[Connection], None],
    ) -> None:
        self._context = context
        self._client = client
        self._upstream: socket.socket | None = None
        self._name = name
        self._upstream_text = upstream
        self._number = number
        self._traffic = traffic
        traffic.accepted += 1
        traffic.open += 1
        # Toxiproxy counts bytes when the connection has ended.
        self._meters = (
            {direction: Meter() for direction in Direction}
            if context.strict
            else {Direction.UPSTREAM: traffic.upstream, Direction.DOWNSTREAM: traffic.downstream}
        )
        self._resets = False
        self._toxics = toxics
        self._closed_call = closed
        self._closed = False
        self._relays: dict[Direction, Relay] = {}
        self._descriptors = DESCRIPTORS
        self._dial: Dial | None = None
        dial = Dial(context, upstream, self._connected, self._not_connected)
        if not self._closed:
            self._dial = dial

    @property
    def closed(self) -> bool:
        return self._closed

    def apply(self, direction: Direction, changed: Toxic | None = None) -> None:
        """The toxics of a direction have changed."""
        relay = self._relays.get(direction)
        if relay is not None:
            relay.apply(self._toxics(direction), changed)

    def close(self, *, reset: bool = False) -> None:
        """Close both sides at once; what has not been written is dropped. With `reset` they see a reset."""
        if self._closed:
            return
        self._closed = True
        if self._dial is not None:
            self._dial.cancel()
        for relay in self._relays.values():
            relay.stop()
        for sock, source in ((self._client, Direction.UPSTREAM), (self._upstream, Direction.DOWNSTREAM)):
            if sock is not None:
                reading = self._relays.get(source)
                empty = reading is not None and reading.source_ended
                _close(sock, self._resets if self._context.strict else reset, empty=empty)
        if self._context.strict:
            self._traffic.upstream.add(self._meters[Direction.UPSTREAM])
            self._traffic.downstream.add(self._meters[Direction.DOWNSTREAM])
        self._traffic.open -= 1
        self._closed_call(self)
        self._context.descriptors.give_back(self._descriptors)
        self._context.return_memory()

    def _not_connected(self, reason: str) -> None:
        log.info("proxy %s: cannot connect to %s: %s", self._name, self._upstream_text, reason)
        self._traffic.upstream_failed += 1
        self.close()

    def _connected(self, sock: socket.socket) -> None:
        self._dial = None
        self._upstream = sock
        # Toxiproxy decides at the beginning, by the toxics there are then, how the connection will end.
        self._resets = any(
            isinstance(toxic.behaviour, ResetPeer)
            for direction in Direction
            for toxic in self._toxics(direction)
        )
        for direction, source, target in (
            (Direction.UPSTREAM, self._client, sock),
            (Direction.DOWNSTREAM, sock, self._client),
        ):
            self._relays[direction] = Relay(
                self._context,
                source,
                target,
                self._meters[direction],
                draw=lambda toxic, direction=direction: self._draw(direction, toxic),  # type: ignore[misc]
                on_end=self._on_end,
                on_lost=self._on_lost,
                on_source_end=self._on_source_end,
            )
        for direction, relay in self._relays.items():
            relay.start(self._toxics(direction))

    def _draw(self, direction: Direction, toxic: Toxic) -> random.Random:
        return self._context.rng(self._name, self._number, direction, toxic.name, toxic.number)

    def _on_end(self, relay: Relay, end: End) -> None:
        if end is not End.EOF or self._context.strict:  # Toxiproxy closes both directions
            self.close(reset=end is End.RESET)
        elif all(each.finished for each in self._relays.values()):
            self.close()
        else:
            self._close_complete_sockets()
            self._other(relay).abandon()

    def _on_source_end(self, relay: Relay, end: End) -> None:
        if self._closed or self._context.strict:
            return
        if end is End.RESET:  # a socket that was reset takes no more data either
            self._other(relay).give_up()
        self._close_complete_sockets()

    def _on_lost(self, relay: Relay) -> None:
        """A side takes no more data. What it sent before still passes, then the other side sees a reset."""
        other = self._other(relay)
        other.source_is_gone = True
        if self._context.strict or all(each.finished for each in self._relays.values()):
            self.close(reset=True)
        elif not self._closed:
            self._close_complete_sockets()
            other.abandon()

    def _other(self, relay: Relay) -> Relay:
        upstream, downstream = self._relays.values()
        return downstream if relay is upstream else upstream

    def _close_complete_sockets(self) -> None:
        """Close a socket whose end was read and which gets no more data, although toxics hold data of it."""
        upstream, downstream = self._relays.values()
        if self._closed or self._upstream is None:
            return
        for sock, complete in (
            (self._client, upstream.source_ended and downstream.finished),
            (self._upstream, downstream.source_ended and upstream.finished),
        ):
            if complete and sock.fileno() != -1:
                sock.close()
                self._descriptors -= 1
                self._context.descriptors.give_back(1)


def _close(sock: socket.socket, reset: bool, *, empty: bool = False) -> None:
    """`empty`: everything that the other end sent was read, its end too."""
    with contextlib.suppress(OSError):
        if reset:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RESET)
        elif not empty:
            # The kernel answers unread data with a reset instead of an end: read what is there before closing.
            for _ in range(_DRAIN_BYTES // 65536):
                if not sock.recv(65536):
                    break
    sock.close()
