"""`SimTransport`: one end of a simulated TCP connection, an `asyncio.Transport` and the kernel under it.

Its halves are the `Sender` and the `Receiver`. As TCP does: closing sends what is queued and then FIN; closing with
unread data, or data for a closed end, gives RST.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Iterable
from contextvars import Context
from typing import TYPE_CHECKING, Any

from harness.faults.exposure import Cause
from harness.sim.network.addresses import socket_name
from harness.sim.network.receiver import Receiver
from harness.sim.network.sender import Sender
from harness.sim.network.socket import ConnectionSocket

if TYPE_CHECKING:
    from harness.sim.network.listener import Listener
    from harness.sim.network.machine import Machine
    from harness.sim.network.network import SimNetwork


class SimTransport(asyncio.Transport):
    """Made by the network in pairs; `peer` is the other end.

    `closing`: the process writes and reads no more. `lost`: it has learnt, or is about to learn, that the connection
    is lost. `gone`: nothing answers for this end any more (its machine was powered off, or the connection reset).
    """

    _start_tls_compatible = True  # for asyncio's start_tls

    def __init__(
        self, network: SimNetwork, machine: Machine, port: int, stream: str, connection: int
    ) -> None:
        super().__init__()
        self._network = network
        self.machine = machine
        self.port = port
        self.address = machine.address
        """Its own, of those of its machine."""
        self.remote: tuple[str, int] | None = None
        """Where its ephemeral port is in use for."""
        self.connection = connection
        self.listener: Listener | None = None
        self.peer: SimTransport = self
        self._peername: Any = ("", 0)
        self._socket: ConnectionSocket | None = None
        self.resets_on_close = False
        self.protocol: Any = None
        self.context: Context | None = None
        self.closing = False
        self.lost = False
        self.gone = False
        self.client = machine.identity.group is not None
        """Whether either end is a client."""
        self.sender = Sender(self, network, stream)
        self.receiver = Receiver(self, network, stream)

    # ------------------------------------------------------------------ made and attached

    def pair(self, peer: SimTransport, peer_port: int) -> None:
        self.peer = peer
        self.client = self.client or peer.machine.identity.group is not None
        self._peername = socket_name(peer.address, peer_port)

    def attach(self, protocol: asyncio.BaseProtocol, context: Context) -> None:
        """Give it to its process."""
        self.context = context
        self.set_protocol(protocol)
        self.receiver.drain_later()

    @property
    def attached(self) -> bool:
        """A process has taken it."""
        return self.context is not None

    @property
    def busy(self) -> bool:
        """Data is under way, in either direction."""
        return self.sender.busy or self.peer.sender.busy

    @property
    def cause(self) -> Cause:
        """Of what was last sent, in either direction."""
        return max(self.sender.cause, self.peer.sender.cause)

    @property
    def finished(self) -> bool:
        """This end will neither send nor receive any more."""
        return self.gone or (self.lost and self.sender.eof_sent and not self.sender.queue.n_bytes)

    def call_soon(self, call: Callable[[], None]) -> None:
        """Call in the context of the process, unless it has lost the connection."""
        if self.protocol is not None and not self.lost:
            self._network.loop.call_soon(call, context=self.context)

    # ------------------------------------------------------------------ the process's calls (asyncio.Transport)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "peername":
            return self.peername
        if name == "sockname":
            return self.sockname
        if name == "socket":
            if self._socket is None:
                self._socket = ConnectionSocket(self)
            return self._socket
        return default

    @property
    def sockname(self) -> Any:
        return socket_name(self.address, self.port)

    @property
    def peername(self) -> Any:
        return self._peername

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol
        self.receiver.deliver_to(protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self.protocol  # type: ignore[no-any-return]

    def write(self, data: Any) -> None:
        if self.sender.eof_wanted and not self.closing:
            raise RuntimeError("Cannot call write() after write_eof()")
        if not isinstance(data, bytes):
            if not isinstance(data, bytearray | memoryview):
                raise TypeError(f"data argument must be a bytes-like object, not {type(data).__name__!r}")
            data = bytes(data)
        if data and not self.closing:
            self.sender.write(data)

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        for data in list_of_data:
            self.write(data)

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        if not (self.closing or self.sender.eof_wanted):
            self.sender.send_eof()

    def get_write_buffer_size(self) -> int:
        return self.sender.write_buffer_bytes()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self.sender.low, self.sender.high

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        if high is None:
            high = 64 * 1024 if low is None else 4 * low
        if low is None:
            low = high // 4
        if not high >= low >= 0:
            raise ValueError(f"high ({high!r}) must be >= low ({low!r}) must be >= 0")
        self.sender.low, self.sender.high = low, high
        self.sender.touch()

    def is_reading(self) -> bool:
        return self.receiver.reading and not self.closing

    def pause_reading(self) -> None:
        self.receiver.pause()

    def resume_reading(self) -> None:
        self.receiver.resume()

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        """Send what is queued, then FIN; or RST at once when something is left unread."""
        if self.closing:
            return
        self._stop_reading()
        if self.resets_on_close and not self.gone:
            self.sender.drop_write_buffer()
            self.reset_peer()
        if self.get_write_buffer_size() == 0:
            self.lose(None)
        self.sender.send_eof()

    def abort(self) -> None:
        """Close without waiting for what the kernel has not taken yet; that is dropped."""
        self._force_close(None)

    def _force_close(self, error: Exception | None) -> None:
        """As asyncio's own protocols call it."""
        if self.lost:
            return
        self._stop_reading()
        self.sender.drop_write_buffer()
        self.lose(error)
        self.sender.send_eof()

    def _stop_reading(self) -> None:
        self.closing = True
        self.receiver.reading = False
        if self.receiver.discard():
            self.reset_peer()

    # ------------------------------------------------------------------ the end of the connection

    def lose(self, error: Exception | None) -> None:
        """Let the process know that the connection is lost. Idempotent."""
        if not self.lost:
            self.lost = self.closing = True
            self.receiver.reading = False
            if self.protocol is not None:
                self._network.loop.call_soon(self._connection_lost, error, context=self.context)

    def _connection_lost(self, error: Exception | None) -> None:
        protocol, self.protocol = self.protocol, None
        if protocol is not None:
            protocol.connection_lost(error)
            if self.listener is not None:
                self.listener.ended(self)
        self.receiver.deliver_to(None)
        self._network.forget_if_done(self)

    def _end(self) -> None:
        """Nothing leaves or reaches this end any more."""
        if not self.gone:
            self.sender.stop(self._network.loop.now_s)
            self.gone = True
            self._network.forget(self)

    def reset_peer(self) -> None:
        """Send RST: it overtakes nothing that was sent before, and this end is gone with it."""
        self._end()
        path = self._network.path(self.machine, self.peer.machine)
        if not path.blocked and self.machine.connected:
            due = self.sender.arrival_s(self._network.loop.now_s + path.latency_s)
            self._network.at(due, self.peer.reset_arrives, None)

    def reset_arrives(self, _now_s: float, _: None) -> None:
        if self.machine.connected:
            self.fail(ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"))

    def fail(self, error: OSError) -> None:
        """The connection is broken here: now, or once what waits unread has been read."""
        self._end()
        if not self.lost and not self.receiver.fail_later(error):
            self.lose(error)

    # ------------------------------------------------------------------ what happens to its process

    def wake(self) -> None:
        """The process runs again (SIGCONT)."""
        self.receiver.drain_later()
        self.sender.wake()
        self.peer.sender.touch()

    def orphan(self) -> None:
        """Its process was killed, and the kernel closes it: FIN after what it had taken from the process, or
        RST when something was left unread or the process had not even accepted it.
        """
        self.sender.show_progress(self._network.loop.now_s)
        if self.attached and not self.gone:
            self.abort()
        else:
            self.vanish(reset=True)

    def vanish(self, *, reset: bool) -> None:
        """This end is gone at once, in silence or (`reset`) with an RST to the peer."""
        self.sender.show_progress(self._network.loop.now_s)
        self.receiver.discard()
        if reset and not self.gone:
            self.reset_peer()
        else:
            self._end()
        self.lose(None)
