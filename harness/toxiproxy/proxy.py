"""A proxy: a listening socket, an upstream, toxics, and the connections that go through it."""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from harness.toxiproxy.acceptor import Acceptor
from harness.toxiproxy.address import Address, bind_socket, describe_os_error
from harness.toxiproxy.connection import Connection
from harness.toxiproxy.context import ServerContext
from harness.toxiproxy.errors import internal, toxic_exists, toxic_not_found
from harness.toxiproxy.metrics import Labels
from harness.toxiproxy.toxic import Change, Direction, Draft, Toxic, build, read_change, read_draft

log = logging.getLogger("harness.toxiproxy")


class Proxy:
    """Everything it does happens at once, on the loop: no request ever sees it half changed."""

    def __init__(self, context: ServerContext, name: str, listen: str, upstream: str) -> None:
        self.name = name
        self.listen = listen
        """As given while it never ran; the real address once it has."""
        self.upstream = upstream
        self._context = context
        self._acceptor: Acceptor | None = None
        self._picked: Address | None = None
        """Where the kernel has chosen the port (0 was asked for)."""
        self._reserved: socket.socket | None = None
        """Keeps that port while nobody listens there: it is one that the kernel gives to others, too."""
        self._unanswered = 0
        """Connects that acceptors before this one have left without an answer."""
        self._accepting = True
        self._connections: dict[Connection, None] = {}
        self._accepted = 0
        self._toxics: list[Toxic] = []
        self._added = 0

    @property
    def enabled(self) -> bool:
        return self._acceptor is not None

    @property
    def accepting(self) -> bool:
        """False: connects get no answer while it is enabled; what is open goes on."""
        return self._accepting

    @accepting.setter
    def accepting(self, accepting: bool) -> None:
        self._accepting = accepting
        if self._acceptor is not None:
            self._acceptor.answering = accepting

    @property
    def connections(self) -> int:
        """How many are open, those still being dialled included."""
        return len(self._connections)

    @property
    def toxics(self) -> list[Toxic]:
        """In the API's order: upstream ones first, each in the order in which they were added."""
        return [toxic for direction in Direction for toxic in self._of(direction)]

    def document(self) -> dict[str, Any]:
        """The API's object. `accepting` is there only when it is false."""
        return {
            "name": self.name,
            "listen": self.listen,
            "upstream": self.upstream,
            "enabled": self.enabled,
            "toxics": [self.toxic_document(toxic) for toxic in self.toxics],
            **({} if self._accepting else {"accepting": False}),
            **({"Logger": {}} if self._context.strict else {}),
        }

    def toxic_document(self, toxic: Toxic) -> dict[str, Any]:
        return toxic.document(self._context.loop.time())

    def start(self, address: Address) -> None:
        """Listen. Raises ApiError 500 with the reason when it cannot; then it stays disabled."""
        again = self._picked is not None and self.listen == self._picked.text
        reserved = self._reserved if again else None
        try:
            self._acceptor = Acceptor(self._context, address, self._accept, reserved)
        except OSError as error:
            raise internal(f"listen tcp {address.text}: bind: {describe_os_error(error)}") from error
        if reserved is not None:
            self._reserved = None  # the acceptor has it now
        self._release_port()
        self.listen = self._acceptor.address
        if address.at[1] == 0:
            port = int(self.listen.rpartition(":")[2])
            self._picked = replace(address, text=self.listen, at=(address.at[0], port, *address.at[2:]))
        elif not again:
            self._picked = None
        self._acceptor.answering = self._accepting
        log.info("proxy %s: listens on %s for %s", self.name, self.listen, self.upstream)

    def stop(self, *, drain: bool = False) -> None:
        """Listen no more, then close every connection, or with `drain` let them come to their own end. Toxics stay."""
        if self._acceptor is not None:
            self._unanswered += self._acceptor.unanswered
            self._acceptor.close()
            self._acceptor = None
            self._reserve_port()
            log.info("proxy %s: stopped", self.name)
        if not drain:
            for connection in list(self._connections):
                connection.close()

    def _reserve_port(self) -> None:
        """Keep a port that the kernel has chosen, so that the proxy finds it free when it is enabled again."""
        if self._picked is not None and self._picked.text == self.listen:
            with contextlib.suppress(
                OSError
            ):  # somebody was quicker: that is said when it is to listen again
                self._reserved = bind_socket(self._picked)

    def _release_port(self) -> None:
        if self._reserved is not None:
            self._reserved.close()
            self._reserved = None

    def discard(self) -> None:
        """Stop for good."""
        self.stop()
        self._release_port()
        for toxic in self._toxics:
            toxic.cancel_expiry()
        self._toxics.clear()

    def reset_connections(self) -> int:
        """Reset both sides of every open connection, now; how many there were."""
        connections = list(self._connections)
        for connection in connections:
            connection.close(reset=True)
        return len(connections)

    def traffic(self) -> dict[str, int]:
        """Connections of this proxy: open now, accepted so far, connects without an answer and failures at the
        upstream so far; and the bytes that
        came from the clients (`upstream_bytes`) and from the upstream so far."""
        traffic = self._context.metrics.so_far(self._labels)
        return {
            "open": traffic.open,
            "accepted": traffic.accepted,
            "unanswered": self._unanswered + (0 if self._acceptor is None else self._acceptor.unanswered),
            "upstream_failed": traffic.upstream_failed,
            "upstream_bytes": traffic.upstream.received_bytes,
            "downstream_bytes": traffic.downstream.received_bytes,
        }

    @property
    def _labels(self) -> Labels:
        return Labels(self.listen, self.name, self.upstream)

    def find(self, name: str) -> Toxic:
        """Raises ApiError 404."""
        for toxic in self._toxics:
            if toxic.name == name:
                return toxic
        raise toxic_not_found()

    def add(self, draft: Draft) -> Toxic:
        """Put a toxic at the end of its chain. Raises ApiError 409, 400."""
        if any(toxic.name == draft.name for toxic in self._toxics):
            raise toxic_exists()
        toxic = build(draft, self._added)
        self._added += 1
        self._toxics.append(toxic)
        self._expire(toxic, draft.expires_in_s)
        self._apply(toxic.direction)
        return toxic

    def add_from(self, value: Any) -> Toxic:
        """Add a toxic from a request body. Raises ApiError 400, 409."""
        return self.add(read_draft(value))

    def update(self, toxic: Toxic, value: Any) -> None:
        """Change a toxic from a request body, all of it or nothing. Raises ApiError 400."""
        self._change(toxic, read_change(toxic, value))

    def remove(self, toxic: Toxic) -> None:
        toxic.cancel_expiry()
        self._toxics.remove(toxic)
        self._apply(toxic.direction)

    def reset(self) -> None:
        """Accept, and remove all toxics, oldest first, those of the upstream chain before the others."""
        self.accepting = True
        for toxic in self.toxics:
            self.remove(toxic)

    def set_toxics(self, drafts: Sequence[Draft]) -> None:
        """Have exactly these toxics. Those that are there already are updated, and so keep their connections.

        The drafts were built once before (`build`), so that nothing can be refused half way.
        """
        names = {one.name for one in drafts}
        for toxic in self.toxics:
            if toxic.name not in names:
                self.remove(toxic)
        for one in drafts:
            new = build(one, 0)
            old = next((toxic for toxic in self._toxics if toxic.name == one.name), None)
            if old is None:
                self.add(one)
            elif (old.direction, type(old.behaviour)) != (new.direction, type(new.behaviour)):
                self.remove(old)
                self.add(one)
            else:
                self._change(old, Change(new.behaviour, new.toxicity, one.expires_in_s or 0))

    def _change(self, toxic: Toxic, to: Change) -> None:
        toxic.behaviour, toxic.toxicity = to.behaviour, to.toxicity
        self._expire(toxic, to.expires_in_s)
        self._apply(toxic.direction, toxic)

    def _expire(self, toxic: Toxic, in_s: float | None) -> None:
        if in_s is None:
            return
        toxic.cancel_expiry()
        if in_s > 0:
            toxic.expiry = self._context.loop.call_later(in_s, self._expired, toxic)

    def _expired(self, toxic: Toxic) -> None:
        log.info("proxy %s: toxic %s has expired", self.name, toxic.name)
        self.remove(toxic)

    def _of(self, direction: Direction) -> list[Toxic]:
        return [toxic for toxic in self._toxics if toxic.direction is direction]

    def _apply(self, direction: Direction, changed: Toxic | None = None) -> None:
        for connection in list(self._connections):
            connection.apply(direction, changed)

    def _accept(self, client: socket.socket) -> None:
        self._accepted += 1
        connection = Connection(
            self._context,
            client,
            name=self.name,
            number=self._accepted,
            upstream=self.upstream,
            traffic=self._context.metrics.traffic(self._labels),
            toxics=self._of,
            closed=self._forget,
        )
        if not connection.closed:
            self._connections[connection] = None

    def _forget(self, connection: Connection) -> None:
        self._connections.pop(connection, None)
