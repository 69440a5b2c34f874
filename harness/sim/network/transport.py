"""One end of a simulated TCP connection: an `asyncio.Transport` and the kernel under it.

The sender's side: what is written is queued by reference; a flow moves it at the rate that the network
gives it; what has moved arrives at the peer one latency later, in few large pieces (at the end of what was
written, and every `PROGRESS_S` of a long transfer), never packet by packet. The receiver's side: pieces go
to the protocol when the process reads, or wait in the kernel's buffer, whose window then holds the sender.

As TCP does: FIFO whatever the jitter; a cut holds data and tries again with exponential back-off; closing
sends what is queued and then FIN; closing with unread data, or data for a closed end, gives RST.
"""

from __future__ import annotations

import asyncio
import errno
import math
from collections import deque
from collections.abc import Iterable
from contextvars import Context
from random import Random
from typing import TYPE_CHECKING, Any

from harness.runtime.routes import MSS_BYTES
from harness.sim.network.fair import NOTHING_BYTES, Flow
from harness.sim.network.path import Path

if TYPE_CHECKING:
    from harness.sim.network.machine import Machine
    from harness.sim.network.network import Listener, SimNetwork

PROGRESS_S = 0.5
"""How often at most a transfer under way shows at the receiver."""

HEAD_BEFORE_BYTES = 16 * 1024
"""Before more than this a first piece of at most a packet is shown on its own."""

SEND_BUFFER_BYTES = 1024 * 1024
"""What the sender's kernel takes before `pause_writing` comes into play (Linux grows it from 16 KB to 4 MB)."""

WINDOW_BYTES = 256 * 1024
"""What the receiver's kernel takes while the process does not read."""

# RFC 6298 (RTO), as Linux has it: at least 200 ms, doubled at each try, at most 120 s, given up after 15.
RTO_MIN_S = 0.2
SYN_RTO_S = 1.0
RTO_MAX_S = 120.0
RETRIES = 15

# RFC 6928: what may be under way without any acknowledgement.
_INITIAL_WINDOW_BYTES = 10 * MSS_BYTES


class SimTransport(asyncio.Transport):
    """Made by the network in pairs; `peer` is the other end, None once that is gone for good."""

    def __init__(
        self, network: SimNetwork, machine: Machine, port: int, stream: str, connection: int
    ) -> None:
        super().__init__()
        self._network = network
        self.machine = machine
        self.port = port
        self.connection = connection
        self.listener: Listener | None = None
        self._stream = stream
        self._rng: Random | None = None
        self.peer: SimTransport = self
        self._peername: tuple[str, int] = ("", 0)
        # The process's side.
        self._protocol: Any = None
        self._data_received: Any = None
        self._context: Context | None = None
        self._closing = False
        self._lost = False
        self._reading = True
        self._writing_paused = False
        self._low, self._high = 16 * 1024, 64 * 1024
        # Outgoing.
        self._path: Path | None = None
        self._back: Path | None = None
        self._queue: deque[bytes] = deque()
        self._queued = 0
        self._head = 0  # how much of the first piece is gone already
        self._flow = Flow(self._schedule)
        self._allowed = 0
        self._event_s = math.inf
        self._shown_s = 0.0
        self._dirty = False
        self._eof_wanted = False
        self._eof_sent = False
        self._arrival_floor_s = 0.0
        self._in_flight = 0
        self._retry = 0
        self._retry_event_s = math.inf
        self._unacknowledged = 0
        self._deaf = False
        self._carry_bytes = 0.0
        self._head_bytes = 0
        self._resume_owed = False
        # Incoming.
        self._inbox: deque[bytes] = deque()
        self._unread = 0
        self._eof_received = False
        self._eof_given = False
        self._error: OSError | None = None
        self._drain_soon = False
        self.gone = False
        """Nothing answers for this end any more (its machine was powered off, or reset)."""

    # ------------------------------------------------------------------ made and attached

    def pair(self, peer: SimTransport, peer_port: int) -> None:
        self.peer = peer
        self._peername = (peer.machine.address, peer_port)

    def attach(self, protocol: asyncio.BaseProtocol, context: Context) -> None:
        """Give it to its process."""
        self._protocol = protocol
        self._context = context
        self._data_received = getattr(protocol, "data_received", None)
        if isinstance(protocol, asyncio.BufferedProtocol):
            self._data_received = self._buffered
        if self._inbox or self._eof_received or self._error is not None:
            self._drain_later()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "peername":
            return self._peername
        if name == "sockname":
            return (self.machine.address, self.port)
        return default

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol
        self._data_received = getattr(protocol, "data_received", None)
        if isinstance(protocol, asyncio.BufferedProtocol):
            self._data_received = self._buffered

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol  # type: ignore[no-any-return]

    def _buffered(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            room = self._protocol.get_buffer(len(view))
            n = min(len(room), len(view))
            room[:n] = view[:n]
            self._protocol.buffer_updated(n)
            view = view[n:]

    # ------------------------------------------------------------------ writing (the process's calls)

    def write(self, data: Any) -> None:
        if self._eof_wanted and not self._closing:
            raise RuntimeError("Cannot call write() after write_eof()")
        if not isinstance(data, bytes):
            data = bytes(data)
        if not data or self._closing:
            return
        self._queue.append(data)
        self._queued += len(data)
        if not self._dirty:
            self._dirty = True
            self._network.dirty.append(self)
        if not self._writing_paused and self._queued > SEND_BUFFER_BYTES + self._high:
            self._writing_paused = True
            self._protocol.pause_writing()

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        for data in list_of_data:
            self.write(data)

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        if not (self._closing or self._eof_wanted):
            self._eof_wanted = True
            self.touch()

    def get_write_buffer_size(self) -> int:
        return max(0, self._queued - SEND_BUFFER_BYTES)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._low, self._high

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        if high is None:
            high = 64 * 1024 if low is None else 4 * low
        if low is None:
            low = high // 4
        if not high >= low >= 0:
            raise ValueError(f"high ({high!r}) must be >= low ({low!r}) must be >= 0")
        self._low, self._high = low, high
        self.touch()

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        """Send what is queued, then FIN; or RST at once when something is left unread."""
        if self._closing:
            return
        self._closing = True
        self._reading = False
        if self._unread:
            self._refuse_rest()
        self._eof_wanted = True
        if self.get_write_buffer_size() == 0:
            self._lose(None)
        self.touch()

    def abort(self) -> None:
        """Close without waiting for what the kernel has not taken yet; that is dropped."""
        if self._lost:
            return
        self._closing = True
        self._reading = False
        if self._unread:
            self._refuse_rest()
        self._trim(SEND_BUFFER_BYTES)
        self._eof_wanted = True
        self._lose(None)
        self.touch()

    def _trim(self, keep: int) -> None:
        while self._queued > keep:
            last = self._queue.pop()
            head = 0 if self._queue else self._head
            over = self._queued - keep
            if len(last) - head > over:
                self._queue.append(last[: len(last) - over])
                self._queued -= over
            else:
                self._queued -= len(last) - head

    def _refuse_rest(self) -> None:
        self._inbox.clear()
        self._unread = 0
        self._reset_peer()

    def _lose(self, error: Exception | None) -> None:
        if not self._lost:
            self._lost = True
            self._closing = True
            self._reading = False
            if self._protocol is not None:
                self._network.loop.call_soon(self._connection_lost, error, context=self._context)

    def _connection_lost(self, error: Exception | None) -> None:
        protocol, self._protocol = self._protocol, None
        if protocol is not None:
            protocol.connection_lost(error)
            if self.listener is not None:
                self.listener.ended(self)
        self._data_received = None
        self._network.forget_if_done(self)

    # ------------------------------------------------------------------ sending (the kernel)

    def touch(self) -> None:
        """Have the network look at this end before time moves on."""
        if not self._dirty:
            self._dirty = True
            self._network.dirty.append(self)

    @property
    def attached(self) -> bool:
        """A process has taken it."""
        return self._context is not None

    @property
    def busy(self) -> bool:
        """Data is under way, in either direction."""
        return bool(self._queued or self._in_flight or self.peer._queued or self.peer._in_flight)

    @property
    def finished(self) -> bool:
        """This end will neither send nor receive any more."""
        return self.gone or (self._lost and self._eof_sent and not self._queued)

    def _emit(self, now_s: float) -> None:
        """Put on the wire what the flow has moved since the last time."""
        flow = self._flow
        flow.advance(now_s)
        left = (
            0
            if flow.remaining_bytes < NOTHING_BYTES or flow.rate_Bps == math.inf
            else math.ceil(flow.remaining_bytes - NOTHING_BYTES)
        )
        n = self._allowed - left
        if left and n > 0:
            # Whole pieces while there are any: cutting one means copying it.
            n = self._whole(n)
            left = self._allowed - n
        self._carry_bytes = left - flow.remaining_bytes if left else 0.0
        if n > 0:
            if self._deaf:
                self._unacknowledged += n
            self._allowed = left
            self._shown_s = now_s
            self._send(self._take(n), n, now_s)
        if self._writing_paused and self._queued - self._carry_bytes <= SEND_BUFFER_BYTES + self._low:
            self._writing_paused = False
            if not self.machine.running:
                self._resume_owed = True
            elif self._protocol is not None and not self._lost:
                self._network.loop.call_soon(self._resume_writing, context=self._context)

    def _resume_writing(self) -> None:
        if self._protocol is not None and not self._writing_paused:
            self._protocol.resume_writing()

    def _whole(self, n: int) -> int:
        """The most of n bytes that ends with a piece; all of them when the first piece is longer."""
        whole = -self._head
        for piece in self._queue:
            if whole + len(piece) > n:
                break
            whole += len(piece)
        return whole if whole > 0 else n

    def _take(self, n: int) -> list[bytes]:
        queue = self._queue
        self._queued -= n
        pieces: list[bytes] = []
        while n:
            first, head = queue[0], self._head
            left = len(first) - head
            if left <= n:
                queue.popleft()
                self._head = 0
                pieces.append(first[head:] if head else first)
                n -= left
            else:
                pieces.append(first[head : head + n])
                self._head = head + n
                n = 0
        return pieces

    def _send(self, pieces: list[bytes] | None, n: int, now_s: float) -> None:
        """Let pieces (or None, a FIN) arrive at the peer after latency, jitter and retransmissions."""
        path = self._path
        assert path is not None
        arrival = now_s + path.latency_s
        if path.jitter_s or path.loss:
            arrival = max(now_s, arrival + self._wander(path, n))
        if arrival < self._arrival_floor_s:
            arrival = self._arrival_floor_s
        else:
            self._arrival_floor_s = arrival
        for rule in path.rules:
            rule.touch(self.connection, n)
        self._in_flight += n
        self._network.at(arrival, self.peer.arrive, (pieces, n))

    def travel_s(self, path: Path) -> float:
        """How long a SYN or its answer takes; a lost one is sent again after 1 s, 2 s, ... (RFC 6298)."""
        travel, retry = path.latency_s, SYN_RTO_S
        if path.jitter_s:
            travel = max(0.0, travel + self._random().uniform(-path.jitter_s, path.jitter_s))
        while path.loss and self._random().random() < path.loss and retry < RTO_MAX_S:
            travel += retry
            retry *= 2
        return travel

    def hold_until(self, time_s: float) -> float:
        """Nothing arrives before this time (what is written while the handshake ends)."""
        self._arrival_floor_s = max(self._arrival_floor_s, time_s)
        return self._arrival_floor_s

    def _random(self) -> Random:
        if self._rng is None:
            self._rng = Random(self._stream)
        return self._rng

    def _wander(self, path: Path, n: int) -> float:
        """Jitter (uniform, both ways) and what waiting for lost packets costs the end of this piece."""
        rng = self._random()
        extra = rng.uniform(-path.jitter_s, path.jitter_s) if path.jitter_s else 0.0
        if path.loss:
            packets = max(1, -(-n // MSS_BYTES))
            rtt = path.latency_s * 2
            rto = max(RTO_MIN_S, rtt * 1.5)
            # With three or more packets behind it a loss is repaired in a round trip (fast retransmit);
            # in the last three, or when the repair is lost too, by time-out, doubled each time.
            if packets > 3 and rng.random() < 1.0 - (1.0 - path.loss) ** (packets - 3):
                extra += rtt
            wait = 0.0
            for _ in range(min(packets, 3)):
                waited, lost_for = 0.0, rto
                while rng.random() < path.loss and waited < RTO_MAX_S:
                    waited += lost_for
                    lost_for *= 2
                wait = max(wait, waited)
            extra += wait
        return extra

    def pump(self, now_s: float) -> None:
        """Bring the flow in line with what is queued, what the path lets through and what the peer takes."""
        self._dirty = False
        flow = self._flow
        if flow.active:
            self._emit(now_s)
        wants_fin = self._eof_wanted and not self._eof_sent
        if self.gone or not self.machine.connected or not (self._queued or wants_fin):
            self._halt(now_s)
            return
        if self._closing and not self._lost and self.get_write_buffer_size() == 0:
            self._lose(None)
        path, back = self._path, self._back
        if path is None or not path.valid or back is None or not back.valid:
            if flow.active:
                self._network.fair.stop(flow, now_s)
            path = self._path = self._network.path(self.machine, self.peer.machine)
            back = self._back = self._network.path(self.peer.machine, self.machine)
        if self._retry_event_s != math.inf:
            self._halt(now_s)
            return
        peer = self.peer
        if path.blocked or peer.gone:
            self._halt(now_s)
            self._held(path)
            return
        limit = self._queued
        if not peer._reading or peer._inbox or not peer.machine.running:
            limit = min(limit, max(0, WINDOW_BYTES - peer._unread - self._in_flight))
        self._deaf = back.blocked
        if self._deaf:
            # Data gets there, acknowledgements do not come back: one window, then silence.
            limit = min(limit, max(0, _INITIAL_WINDOW_BYTES - self._unacknowledged))
            if not limit:
                self._halt(now_s)
                self._held(back)
                return
        else:
            self._unacknowledged = 0
        self._retry = 0
        if limit:
            self._run(path, limit, now_s)
        else:
            self._halt(now_s)
        if wants_fin and not self._queued:
            self._eof_sent = True
            self._send(None, 0, now_s)
            self._network.forget_if_done(self)

    def _run(self, path: Path, limit: int, now_s: float) -> None:
        flow = self._flow
        self._allowed = limit
        flow.since_s = now_s
        flow.remaining_bytes = max(0.0, limit - self._carry_bytes)
        if not flow.active:
            self._shown_s = now_s
            # What stands before a large body (its headers) shows at once: it is how receivers tell waiting
            # from downloading.
            first = len(self._queue[0]) - self._head
            self._head_bytes = first if first <= MSS_BYTES and limit > HEAD_BEFORE_BYTES else 0
            self._network.fair.start(flow, path.pipes, path.limit_Bps, now_s)
        if flow.rate_Bps == math.inf:
            self._emit(now_s)
            self._network.fair.stop(flow, now_s)
        else:
            self._schedule(now_s)

    def _halt(self, now_s: float) -> None:
        if self._flow.active:
            self._network.fair.stop(self._flow, now_s)
        self._allowed = 0
        self._carry_bytes = 0.0

    def _schedule(self, now_s: float) -> None:
        """When to look at the flow next: its end, its next progress, or when the writer may go on."""
        flow = self._flow
        if flow.rate_Bps <= 0.0:
            return
        due = now_s + flow.remaining_bytes / flow.rate_Bps
        if self._writing_paused or self._head_bytes:
            moved = self._allowed - flow.remaining_bytes
            until = self._head_bytes - moved
            if self._writing_paused:
                over = self._queued - moved - SEND_BUFFER_BYTES - self._low
                until = min(until, over) if until > 0 and over > 0 else max(until, over)
            if 0 < until < flow.remaining_bytes:
                # Later than now, even where the clock has no nanoseconds left.
                due = min(due, max(now_s + until / flow.rate_Bps + 1e-9, math.nextafter(now_s, math.inf)))
        elif due >= self._event_s:
            return
        if due > self._shown_s + PROGRESS_S:
            due = min(due, max(now_s, self._shown_s + PROGRESS_S))
        if due < self._event_s:
            self._event_s = due
            self._network.at(due, self._flow_event, due)

    def _flow_event(self, now_s: float, scheduled_s: float) -> None:
        if scheduled_s != self._event_s:
            return
        self._event_s = math.inf
        flow = self._flow
        if not flow.active:
            return
        flow.advance(now_s)
        done = flow.done(now_s)
        if done:
            flow.remaining_bytes = 0.0
        head = 0 < self._head_bytes <= self._allowed - flow.remaining_bytes + NOTHING_BYTES
        if done or head or now_s >= self._shown_s + PROGRESS_S or self._writing_paused:
            self._head_bytes = 0
            self._emit(now_s)
            self._shown_s = now_s
        if done:
            self._network.fair.stop(flow, now_s)
            if self._queued or self._eof_wanted or self._closing:
                self.touch()
        else:
            self._schedule(now_s)

    # ------------------------------------------------------------------ held back, and given up

    def _held(self, path: Path) -> None:
        """Nothing gets through: count it for the faults, and try again later."""
        self._count_held(path, self._queued)
        if self._retry_event_s == math.inf:
            self._retry_later()

    def _count_held(self, path: Path, n: int) -> None:
        for rule in path.rules:
            if rule.cut:
                rule.touch(self.connection, n)
        if self.peer.gone:
            self.peer.machine.note_held(self.connection, n)

    def _retry_later(self) -> None:
        due = self._network.loop.now_s + min(RTO_MAX_S, RTO_MIN_S * 2.0**self._retry)
        self._retry_event_s = due
        self._network.at(due, self._retry_event, None)

    def _retry_event(self, now_s: float, _: None) -> None:
        self._retry_event_s = math.inf
        if self.gone or not self.machine.connected:
            return
        self._retry += 1
        if self._retry > RETRIES:
            self.fail(TimeoutError(errno.ETIMEDOUT, "Connection timed out"))
            return
        peer = self.peer
        forward = self._network.path(self.machine, peer.machine)
        back = self._network.path(peer.machine, self.machine)
        if forward.blocked or back.blocked or not peer.machine.connected:
            self._count_held(back if back.blocked else forward, 0)
            self._retry_later()
        elif peer.gone:
            # It came back and knows nothing of this connection.
            self._network.at(now_s + forward.latency_s + back.latency_s, self._reset_event, None)
        else:
            self._unacknowledged = 0
            self.touch()

    # ------------------------------------------------------------------ receiving

    def arrive(self, now_s: float, what: tuple[list[bytes] | None, int]) -> None:
        """Pieces (or FIN) come in from the peer."""
        pieces, n = what
        self.peer._in_flight -= n
        if self.gone or not self.machine.connected:
            if self.gone and self.machine.connected:
                self._reset_peer()
            elif n:
                self.machine.note_held(self.connection, n)
            return
        if self._closing:
            if self._lost and n:
                self._reset_peer()
            return
        if pieces is None:
            self._eof_received = True
            if self._can_read() and not self._inbox:
                self._in_context(self._give_eof)
            return
        if not self.machine.running:
            self.machine.note_held(self.connection, n)
        if self._inbox or not self._can_read():
            self._inbox.extend(pieces)
            self._unread += n
            return
        for index, piece in enumerate(pieces):
            if self._reading and self._data_received is not None:
                self._in_context(self._data_received, piece)
            elif not self._closing:
                rest = pieces[index:]
                self._inbox.extend(rest)
                self._unread += sum(map(len, rest))
                break

    def _can_read(self) -> bool:
        return self._reading and self._data_received is not None and self.machine.running

    def _in_context(self, call: Any, *args: Any) -> None:
        assert self._context is not None
        try:
            self._context.run(call, *args)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._network.loop.call_exception_handler(
                {
                    "message": "Fatal error: protocol.data_received() call failed.",
                    "exception": error,
                    "transport": self,
                    "protocol": self._protocol,
                }
            )
            self.fail(ConnectionAbortedError(errno.ECONNABORTED, "protocol failed"))

    def is_reading(self) -> bool:
        return self._reading and not self._closing

    def pause_reading(self) -> None:
        if self._reading:
            self._reading = False
            if self.peer._queued:
                self.peer.touch()

    def resume_reading(self) -> None:
        if not self._reading and not self._closing:
            self._reading = True
            if self._inbox or self._eof_received or self._error is not None:
                self._drain_later()
            if self.peer._queued:
                self.peer.touch()

    def _drain_later(self) -> None:
        if not self._drain_soon and self._context is not None:
            self._drain_soon = True
            self._network.loop.call_soon(self.drain, context=self._context)

    def drain(self) -> None:
        """Give the process what waited for it; runs in its context."""
        self._drain_soon = False
        inbox = self._inbox
        if inbox:
            while inbox and self._can_read():
                piece = inbox.popleft()
                self._unread -= len(piece)
                self._data_received(piece)
            self.peer.touch()
        if self._can_read() and not inbox:
            if self._error is not None:
                error, self._error = self._error, None
                self._lose(error)
            elif self._eof_received:
                self._give_eof()

    def wake(self) -> None:
        """The process runs again (SIGCONT)."""
        if self._inbox or self._eof_received or self._error is not None:
            self._drain_later()
        if self._resume_owed:
            self._resume_owed = False
            if self._protocol is not None and not self._lost:
                self._network.loop.call_soon(self._resume_writing, context=self._context)
        self.peer.touch()

    def _give_eof(self) -> None:
        if self._eof_given or self._protocol is None or self._closing:
            return
        self._eof_given = True
        if not self._protocol.eof_received():
            self.close()

    # ------------------------------------------------------------------ broken

    def _end(self) -> None:
        """Nothing leaves or reaches this end any more."""
        if not self.gone:
            self._halt(self._network.loop.now_s)
            self._queue.clear()
            self._queued = 0
            self.gone = True
            self._network.forget(self)

    def _reset_peer(self) -> None:
        """Send RST: it overtakes nothing that was sent before, and this end is gone with it."""
        self._end()
        path = self._network.path(self.machine, self.peer.machine)
        if not path.blocked and self.machine.connected:
            due = max(self._network.loop.now_s + path.latency_s, self._arrival_floor_s)
            self._network.at(due, self.peer._reset_event, None)

    def _reset_event(self, now_s: float, _: None) -> None:
        if self.machine.connected:
            self.fail(ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"))

    def fail(self, error: OSError) -> None:
        """The connection is broken here: now, or once what waits unread has been read."""
        self._end()
        if self._lost:
            return
        if (self._inbox and not self._closing) or not self.machine.running:
            self._error = error
        else:
            self._lose(error)

    def orphan(self) -> None:
        """Its process was killed, and the kernel closes it: FIN after what it had taken from the process, or
        RST when something was left unread or the process had not even accepted it.
        """
        if self._flow.active:
            self._emit(self._network.loop.now_s)
        if self.attached and not self.gone:
            self.abort()
        else:
            self.vanish(reset=True)

    def vanish(self, *, reset: bool) -> None:
        """This end is gone at once, without a word or (`reset`) with an RST to the peer."""
        if self._flow.active:
            self._emit(self._network.loop.now_s)
        self._inbox.clear()
        self._unread = 0
        if reset and not self.gone:
            self._reset_peer()
        else:
            self._end()
        self._lose(None)
