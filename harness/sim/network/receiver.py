"""`Receiver`: the receiving half of one end of a connection.

Pieces go to the protocol when the process reads, or wait in the kernel's buffer, whose window then holds the sender.
"""

from __future__ import annotations

import asyncio
import errno
import zlib
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from harness.faults.exposure import Cause
from harness.runtime.causation import set_cause, set_cause_in
from harness.sim.network.window import MAX_WINDOW_BYTES

if TYPE_CHECKING:
    from harness.sim.network.network import SimNetwork
    from harness.sim.network.transport import SimTransport

WINDOW_BYTES = 256 * 1024
"""What the receiver's kernel takes while the process does not read."""

BLOCK_BYTES = 256 * 1024
"""What asyncio reads at most at a time."""


class Receiver:
    __slots__ = (
        "_cut",
        "_data_received",
        "_drain_soon",
        "_end",
        "_eof_given",
        "_eof_received",
        "_error",
        "_inbox",
        "_network",
        "cause",
        "reading",
        "unread",
    )

    def __init__(self, end: SimTransport, network: SimNetwork, stream: str) -> None:
        self._end = end
        self._network = network
        self._data_received: Callable[[bytes], None] | None = None
        self.reading = True
        """Whether the process wants to read."""
        self._inbox: deque[bytes] = deque()
        self.unread = 0
        """Bytes in the kernel's buffer."""
        self.cause = Cause.BACKGROUND
        """Who caused what arrived last."""
        self._eof_received = False
        self._eof_given = False
        self._error: OSError | None = None
        """What the process learns once it has read everything."""
        self._drain_soon = False
        self._cut = zlib.crc32(stream.encode())

    # ------------------------------------------------------------------ for the process

    def deliver_to(self, protocol: asyncio.BaseProtocol | None) -> None:
        if isinstance(protocol, asyncio.BufferedProtocol):
            self._data_received = _Buffered(protocol)
        else:
            self._data_received = getattr(protocol, "data_received", None)

    def pause(self) -> None:
        if self.reading:
            self.reading = False
            self._window_changed()

    def resume(self) -> None:
        if not self.reading and not self._end.closing:
            self.reading = True
            self.drain_later()
            self._window_changed()

    def _window_changed(self) -> None:
        sender = self._end.peer.sender
        if sender.queue.n_bytes:
            sender.touch()

    @property
    def readable(self) -> bool:
        """Whether a read would not block: there is data, an error, or the end."""
        return bool(self.unread) or self._eof_received or self._error is not None

    def discard(self) -> bool:
        """Drop what is unread. Whether there was any."""
        unread, self.unread = self.unread, 0
        self._inbox.clear()
        return unread > 0

    def drain_later(self) -> None:
        """Give the process what waits for it, if anything does."""
        if not (self._inbox or self._eof_received or self._error is not None):
            return
        if not self._drain_soon and self._end.attached:
            self._drain_soon = True
            self._network.loop.call_soon(self._drain, context=self._end.context)

    def _drain(self) -> None:
        """Runs in the context of the process."""
        self._drain_soon = False
        inbox = self._inbox
        if inbox:
            while inbox and self._can_read():
                piece = inbox.popleft()
                self.unread -= len(piece)
                assert self._data_received is not None
                self._deliver(self._data_received, piece)
            if self._end.peer.sender.stalled:
                self._acknowledge(self._network.loop.now_s)
        if self._can_read() and not inbox:
            if self._error is not None:
                error, self._error = self._error, None
                self._end.lose(error)
            elif self._eof_received:
                self._give_eof()

    def _can_read(self) -> bool:
        return self.reading and self._data_received is not None and self._end.machine.running

    def _give_eof(self) -> None:
        end = self._end
        if self._eof_given or end.protocol is None or end.closing:
            return
        self._eof_given = True
        if not end.protocol.eof_received():
            end.close()

    # ------------------------------------------------------------------ for the kernel

    @property
    def room_bytes(self) -> int:
        """How much may be under way to this end."""
        if self.reading and not self._inbox and self._end.machine.running:
            return MAX_WINDOW_BYTES
        return WINDOW_BYTES - self.unread

    def fail_later(self, error: OSError) -> bool:
        """Keep the error until the process has read what arrived before it. False when it can learn it now."""
        if (self._inbox and not self._end.closing) or not self._end.machine.running:
            self._error = error
            return True
        return False

    def _acknowledge(self, now_s: float) -> None:
        """Tell a sender that waits for the window."""
        back = self._network.path(self._end.machine, self._end.peer.machine)
        self._network.at(now_s + back.latency_s, self._end.peer.sender.acknowledged, None)

    def arrive(self, now_s: float, what: tuple[list[bytes] | None, int, Cause]) -> None:
        """Pieces (or None, a FIN) come in from the peer."""
        pieces, n, self.cause = what
        end = self._end
        sender = end.peer.sender
        sender.in_flight -= n
        if sender.stalled:
            self._acknowledge(now_s)
        if end.gone or not end.machine.connected:
            if end.gone and end.machine.connected:
                end.reset_peer()
            elif n:
                end.machine.note_held(end.connection, n, self.cause)
            return
        if end.closing:
            if end.lost and n:
                end.reset_peer()
            return
        if pieces is None:
            self._eof_received = True
            if self._can_read() and not self._inbox:
                self._call(self._give_eof)
            return
        if n > 1:
            pieces = self._stream(pieces, n)
        if not end.machine.running:
            end.machine.note_held(end.connection, n, self.cause)
        if self._inbox or not self._can_read():
            self._inbox.extend(pieces)
            self.unread += n
            return
        for index, piece in enumerate(pieces):
            if self.reading and self._data_received is not None:
                self._call(self._deliver, self._data_received, piece)
            elif not end.closing:
                rest = pieces[index:]
                self._inbox.extend(rest)
                self.unread += sum(map(len, rest))
                break

    def _stream(self, pieces: list[bytes], n: int) -> list[bytes]:
        """The same bytes as a process reads them. What comes together is read together, at most `BLOCK_BYTES` at a
        time; one in eight arrivals is cut somewhere. Where a sender's writes ended cannot be seen."""
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        # A linear congruential generator (Numerical Recipes): it is drawn for nearly every request.
        self._cut = (1664525 * self._cut + 1013904223) & 0xFFFFFFFF
        if self._cut >> 29 == 0:
            at = 1 + self._cut % (n - 1)
            return [*_blocks(data[:at]), *_blocks(data[at:])]
        return [data] if n <= BLOCK_BYTES else _blocks(data)

    def _deliver(self, data_received: Callable[[bytes], None], piece: bytes) -> None:
        """Give the process data, in its context. What it wakes by that handles what the data ask for.

        What waits for an answer keeps its own cause, unless a client caused what it gets.
        """
        cause, end = self.cause, self._end
        if end.listener is not None:
            end.machine.serves_clients = end.machine.serves_clients or cause is Cause.CLIENT
        elif cause is not Cause.CLIENT:
            data_received(piece)
            return
        set_cause(cause)
        loop = self._network.loop
        woken = loop.count_ready()
        data_received(piece)
        for context in loop.contexts_since(woken):
            set_cause_in(context, cause)

    def _call(self, call: Callable[..., None], *args: Any) -> None:
        """Call in the context of the process; what it raises breaks the connection."""
        end = self._end
        assert end.context is not None
        try:
            end.context.run(call, *args)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._network.loop.call_exception_handler(
                {
                    "message": "Fatal error: protocol.data_received() call failed.",
                    "exception": error,
                    "transport": end,
                    "protocol": end.protocol,
                }
            )
            end.fail(ConnectionAbortedError(errno.ECONNABORTED, "protocol failed"))


def _blocks(data: bytes) -> list[bytes]:
    return [data[at : at + BLOCK_BYTES] for at in range(0, len(data), BLOCK_BYTES)]


class _Buffered:
    """`data_received` for a protocol that brings its own buffers."""

    def __init__(self, protocol: asyncio.BufferedProtocol) -> None:
        self._protocol = protocol

    def __call__(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            room = memoryview(self._protocol.get_buffer(len(view)))
            n = min(len(room), len(view))
            room[:n] = view[:n]
            self._protocol.buffer_updated(n)
            view = view[n:]
