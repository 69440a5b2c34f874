"""`DatagramEnd`: a UDP socket of a simulated machine. Links delay, lose, limit and cut datagrams; nothing repairs that.

Datagrams wait for each other in front of a link with a rate, and are lost when its queue is full. They take no rate
from streams, and streams none from them, apart from the queue that streams fill.
"""

from __future__ import annotations

import asyncio
import errno
from collections import deque
from contextvars import Context
from random import Random
from typing import TYPE_CHECKING, Any

from harness.faults.exposure import Cause
from harness.runtime.causation import current_cause
from harness.sim.network.addresses import family_of, is_own, socket_name
from harness.sim.network.socket import DatagramSocket

if TYPE_CHECKING:
    from harness.sim.network.machine import Machine
    from harness.sim.network.network import SimNetwork
    from harness.sim.network.path import Path

MAX_BYTES = 65507
"""The most that fits in one datagram (65,535 less the headers of IP and UDP)."""

BUFFER_BYTES = 212_992
"""What a kernel keeps for a process that does not run (net.core.rmem_default)."""


class DatagramEnd(asyncio.DatagramTransport):
    """`remote`: the only address and port that it exchanges datagrams with; None: all."""

    def __init__(
        self,
        network: SimNetwork,
        machine: Machine,
        own: tuple[str, int],
        remote: tuple[str, int] | None,
    ) -> None:
        super().__init__()
        self._network = network
        self.machine = machine
        self.own, self.remote = own, remote
        self._protocol: Any = None
        self._context: Context | None = None
        self._closing = False
        self._inbox: deque[tuple[bytes, Any]] = deque()
        self._waiting_bytes = 0
        network.connections += 1
        self._number = network.connections
        self._rng = Random(f"{network.seed}/{machine.identity.name}/udp/{own[1]}/{machine.sockets_made}")
        self._socket = DatagramSocket(self)

    # ------------------------------------------------------------------ asyncio.DatagramTransport

    def attach(self, protocol: asyncio.BaseProtocol, context: Context) -> None:
        self._protocol, self._context = protocol, context

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "sockname":
            return socket_name(*self.own)
        if name == "peername" and self.remote is not None:
            return socket_name(*self.remote)
        return self._socket if name == "socket" else default

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        protocol: asyncio.BaseProtocol = self._protocol
        return protocol

    def is_closing(self) -> bool:
        return self._closing

    def get_write_buffer_size(self) -> int:
        return 0

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self.machine.datagrams.pop(self.own, None)
            self._call(self._lose)

    abort = close

    def _lose(self) -> None:
        protocol, self._protocol = self._protocol, None
        protocol.connection_lost(None)

    def _call(self, function: Any, *args: Any) -> None:
        self._network.loop.call_soon(function, *args, context=self._context)

    def sendto(self, data: Any, addr: Any = None) -> None:
        if not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(f"data argument must be a bytes-like object, not {type(data).__name__!r}")
        if self.remote is not None:
            if addr is not None and tuple(addr[:2]) != self.remote:
                raise ValueError(f"Invalid address: must be None or {socket_name(*self.remote)}")
            target = self.remote
        elif addr is None:
            raise ValueError("the socket is not connected: sendto needs an address")
        else:
            target = (self._network.resolve(addr[0])[0], int(addr[1]))
        if self._closing or not self.machine.connected:
            return
        if len(data) > MAX_BYTES:
            self._call(self._fail, OSError(errno.EMSGSIZE, "Message too long"))
            return
        self._send(bytes(data), target)

    def _fail(self, error: OSError) -> None:
        if self._protocol is not None:
            self._protocol.error_received(error)

    # ------------------------------------------------------------------ the network

    def _send(self, data: bytes, target: tuple[str, int]) -> None:
        network, now_s = self._network, self._network.loop.now_s
        dst = self.machine if is_own(target[0]) else network.machine_at(target[0])
        if dst is None:
            return
        path = network.path(self.machine, dst)
        cause = (
            Cause.CLIENT
            if self.machine.identity.group is not None
            else self.machine.own_cause(current_cause())
        )
        if path.blocked:
            for impairment in path.cutting[:1]:
                impairment.effects.lose(self._number, len(data), cause)
            return
        if path.loss and self._rng.random() < path.loss:
            for impairment in path.losing:
                if impairment.loses(path):
                    impairment.effects.lose(self._number, len(data), cause)
                    break
            return
        delay_s = self._queue_s(path, len(data), now_s)
        if delay_s is None:
            return
        delay_s += path.latency_s
        if path.jitter_s:
            delay_s = max(0.0, delay_s + self._rng.uniform(-path.jitter_s, path.jitter_s))
        for impairment in path.delaying:
            impairment.effects.delay(self._number, len(data), cause)
        source = (self.machine.own_address(target[0]), self.own[1])
        network.at(now_s + delay_s, self._arrive, (dst, target, source, data, cause))

    def _queue_s(self, path: Path, n_bytes: int, now_s: float) -> float | None:
        """How long a datagram waits for queues and for the line; None when a queue is full."""
        wait_s = path.queue_s(now_s)
        for pipe in path.pipes:
            start_s = max(now_s, pipe.datagrams_until_s)
            if (start_s - now_s) * pipe.capacity_Bps > pipe.queue.limit_bytes:
                return None
            pipe.datagrams_until_s = start_s + n_bytes / pipe.capacity_Bps
            wait_s += pipe.datagrams_until_s - now_s
        return wait_s

    def _arrive(self, _now_s: float, what: tuple[Machine, tuple[str, int], Any, bytes, Cause]) -> None:
        dst, target, source, data, cause = what
        if not dst.connected:
            dst.note_held(self._number, len(data), cause)
            return
        end = dst.find_datagram(*target)
        if end is not None:
            end.receive(data, source, cause, self._number)
            return
        dst.note_blocked(cause)
        back = self._network.path(dst, self.machine)
        if self.remote is not None and not back.blocked:
            # ICMP port unreachable; only a connected socket learns of it.
            error = ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
            self._network.at(
                self._network.loop.now_s + back.latency_s, lambda *_: self._call(self._fail, error), None
            )

    def receive(self, data: bytes, source: tuple[str, int], cause: Cause, number: int) -> None:
        """The process gets it now, or when it runs again."""
        if self.remote is not None and source != self.remote:
            return
        name = socket_name(*source)
        if self.machine.running:
            self._call(self._deliver, data, name)
            return
        self.machine.note_held(number, len(data), cause)
        if self._waiting_bytes + len(data) <= BUFFER_BYTES:
            self._waiting_bytes += len(data)
            self._inbox.append((data, name))

    def _deliver(self, data: bytes, name: Any) -> None:
        if not self._closing and self._protocol is not None:
            self._protocol.datagram_received(data, name)

    def wake(self) -> None:
        """The process runs again."""
        while self._inbox:
            self._call(self._deliver, *self._inbox.popleft())
        self._waiting_bytes = 0

    def vanish(self) -> None:
        """The process is gone."""
        self._closing = True
        self._protocol = None

    @property
    def family(self) -> Any:
        return family_of(self.own[0])
