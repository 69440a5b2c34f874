"""`Sender`: the sending half of one end of a connection, as its kernel does it.

What is written is queued by reference. A flow moves it at the rate that the network gives it; what has moved arrives
at the peer one latency later, in few large pieces (at the end of what was written, and every `PROGRESS_S` of a long
transfer), never packet by packet. As TCP does: FIFO whatever the jitter; a cut holds data.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from harness.faults.exposure import Cause
from harness.runtime.causation import cause_of_own, current_cause, path_of
from harness.runtime.routes import MSS_BYTES
from harness.sim.network.fair import NOTHING_BYTES, Flow
from harness.sim.network.path import Path
from harness.sim.network.retransmission import LossDelays, RetransmissionTimer
from harness.sim.network.send_queue import SendQueue
from harness.sim.network.window import INITIAL_BYTES, Window

if TYPE_CHECKING:
    from harness.sim.network.network import SimNetwork
    from harness.sim.network.transport import SimTransport

PROGRESS_S = 0.5
"""How often at most a transfer under way shows at the receiver."""

HEAD_BEFORE_BYTES = 16 * 1024
"""Before more than this a first piece of at most a packet is shown on its own."""

SEND_BUFFER_BYTES = 1024 * 1024
"""What the sender's kernel takes before `pause_writing` comes into play (Linux grows it from 16 KB to 4 MB)."""


class Sender:
    """Times in s of the loop, counts in bytes."""

    __slots__ = (
        "_allowed",
        "_arrival_floor_s",
        "_back",
        "_carry_bytes",
        "_deaf",
        "_dirty",
        "_end",
        "_event_s",
        "_flow",
        "_head_bytes",
        "_network",
        "_path",
        "_queue_s",
        "_resume_owed",
        "_sent",
        "_shown_s",
        "_timer",
        "_unacknowledged",
        "_window",
        "cause",
        "delays",
        "eof_sent",
        "eof_wanted",
        "high",
        "in_flight",
        "low",
        "paused",
        "queue",
        "stalled",
    )

    def __init__(self, end: SimTransport, network: SimNetwork, stream: str) -> None:
        self._end = end
        self._network = network
        self.delays = LossDelays(stream)
        self._timer = RetransmissionTimer(end, network)
        self.queue = SendQueue()
        self.cause = Cause.BACKGROUND
        """Who caused what is queued, or was last."""
        self.in_flight = 0
        """Sent, and not arrived yet."""
        self.stalled = False
        """More is queued than the receiver's window lets through."""
        self.eof_wanted = False
        self.eof_sent = False
        # The process's write buffer is what the kernel's does not hold.
        self.paused = False
        self.low, self.high = 16 * 1024, 64 * 1024
        self._resume_owed = False
        # The transfer under way.
        self._path: Path | None = None
        self._back: Path | None = None
        self._flow = Flow(self._schedule)
        self._window = Window()
        self._sent = 0  # in its whole life
        self._queue_s = 0.0  # what stands before what is sent, in the queues of the path
        self._allowed = 0  # what the flow may move
        self._carry_bytes = 0.0  # what the flow has moved of a byte, or of a piece, that is not shown yet
        self._head_bytes = 0  # what is shown on its own, before the rest
        self._event_s = math.inf
        self._shown_s = 0.0
        self._arrival_floor_s = 0.0
        self._deaf = False  # no acknowledgement comes back
        self._unacknowledged = 0
        self._dirty = False

    # ------------------------------------------------------------------ for the process

    def write(self, data: bytes) -> None:
        queue, end = self.queue, self._end
        cause = Cause.CLIENT if end.client else self._cause(data)
        self.cause = max(cause, self.cause) if queue.n_bytes else cause
        queue.append(data)
        if not self._dirty:
            self._dirty = True
            self._network.dirty.append(self)
        if not self.paused and queue.n_bytes > SEND_BUFFER_BYTES + self.high:
            self.paused = True
            end.protocol.pause_writing()

    def _cause(self, data: bytes) -> Cause:
        """Of data that a service sends to another."""
        end, cause = self._end, current_cause()
        if end.listener is not None:
            # An answer has the cause of what it answers, whichever task sends it.
            return max(cause or Cause.BACKGROUND, end.receiver.cause)
        return cause_of_own(end.machine.serves_clients, path_of(data)) if cause is None else cause

    def write_buffer_bytes(self) -> int:
        """What the kernel has not taken yet."""
        return max(0, self.queue.n_bytes - SEND_BUFFER_BYTES)

    def drop_write_buffer(self) -> None:
        self.queue.trim(SEND_BUFFER_BYTES)

    def _resume_if_low(self) -> None:
        if self.queue.n_bytes - self._carry_bytes <= SEND_BUFFER_BYTES + self.low:
            self.paused = False
            if self._end.machine.running:
                self._end.call_soon(self._resume_writing)
            else:
                self._resume_owed = True

    def _resume_writing(self) -> None:
        protocol = self._end.protocol
        if protocol is not None and not self.paused:
            protocol.resume_writing()

    def wake(self) -> None:
        """The process runs again (SIGCONT)."""
        if self._resume_owed:
            self._resume_owed = False
            self._end.call_soon(self._resume_writing)

    # ------------------------------------------------------------------ for the kernel

    def touch(self) -> None:
        """Have the network look at this end before time moves on."""
        if not self._dirty:
            self._dirty = True
            self._network.dirty.append(self)

    @property
    def busy(self) -> bool:
        return bool(self.queue.n_bytes or self.in_flight)

    def send_eof(self) -> None:
        """Send FIN after what is queued."""
        self.eof_wanted = True
        self.touch()

    def acknowledged(self, _now_s: float, _: None) -> None:
        """The receiver's window may have opened."""
        self.touch()

    def unblock(self) -> None:
        """The path is open again."""
        self._unacknowledged = 0
        self.touch()

    def arrival_s(self, earliest_s: float) -> float:
        """When something sent now arrives that overtakes nothing that was sent before."""
        return max(earliest_s, self._arrival_floor_s)

    def hold_until(self, time_s: float) -> float:
        """Nothing arrives before this time (what is written while the handshake ends)."""
        self._arrival_floor_s = max(self._arrival_floor_s, time_s)
        return self._arrival_floor_s

    def stop(self, now_s: float) -> None:
        """Send nothing more, and drop what is queued."""
        self._halt(now_s)
        self.queue.clear()

    def show_progress(self, now_s: float) -> None:
        """Let what the flow has moved arrive, if there is a flow."""
        if self._flow.active:
            self._emit(now_s)

    def pump(self, now_s: float) -> None:
        """Bring the flow in line with what is queued, what the path lets through and what the peer takes."""
        self._dirty = False
        flow, end, queue = self._flow, self._end, self.queue
        if flow.active:
            self._emit(now_s)
        wants_fin = self.eof_wanted and not self.eof_sent
        if end.gone or not end.machine.connected or not (queue.n_bytes or wants_fin):
            self._halt(now_s)
            return
        if end.closing and not end.lost and queue.n_bytes <= SEND_BUFFER_BYTES:
            end.lose(None)
        path, back, peer = self._path, self._back, end.peer
        if path is None or not path.valid or back is None or not back.valid:
            if flow.active:
                self._stop(now_s)
            path = self._path = self._network.path(end.machine, peer.machine)
            back = self._back = self._network.path(peer.machine, end.machine)
        timer = self._timer
        if timer.running:
            self._halt(now_s)
            return
        if path.blocked or peer.gone:
            self._halt(now_s)
            self._window.collapse()
            timer.hold(path, queue.n_bytes)
            return
        limit = min(queue.n_bytes, max(0, peer.receiver.room_bytes - self.in_flight))
        self.stalled = limit < queue.n_bytes
        self._deaf = back.blocked
        if self._deaf:
            # Data gets there, acknowledgements do not come back: one window, then silence.
            limit = min(limit, max(0, INITIAL_BYTES - self._unacknowledged))
            if not limit:
                self._halt(now_s)
                timer.hold(back, queue.n_bytes)
                return
        else:
            self._unacknowledged = 0
        timer.retries = 0
        if limit:
            self._run(path, limit, now_s)
        else:
            self._halt(now_s)
        if wants_fin and not queue.n_bytes:
            self.eof_sent = True
            self._send(None, 0, now_s)
            self._network.forget_if_done(end)

    # ------------------------------------------------------------------ the flow

    def _run(self, path: Path, limit: int, now_s: float) -> None:
        flow = self._flow
        self._allowed = limit
        flow.since_s = now_s
        flow.remaining_bytes = max(0.0, limit - self._carry_bytes)
        if not flow.active:
            self._shown_s = now_s
            # What precedes a large body (its headers) shows at once: receivers tell waiting from downloading by it.
            first = self.queue.first_bytes()
            self._head_bytes = first if first <= MSS_BYTES and limit > HEAD_BEFORE_BYTES else 0
            self._begin(path, now_s)
        else:
            self._limit(now_s)
        if flow.rate_Bps == math.inf:
            self._emit(now_s)
            flow.remaining_bytes = 0.0
            self._stop(now_s)
        else:
            self._schedule(now_s)

    @property
    def _moved(self) -> float:
        """What has moved in its whole life."""
        return self._sent + self._allowed - self._flow.remaining_bytes

    def _begin(self, path: Path, now_s: float) -> None:
        """Start the flow, with the window and behind the queues that it finds."""
        flow, window, back = self._flow, self._window, self._back
        assert back is not None
        rtt_s = path.latency_s + back.latency_s
        self._queue_s = path.queue_s(now_s)
        waits_s = self._queue_s + back.queue_s(now_s)
        moved = self._moved
        restarts = self._end.machine.restarts_after_idle
        window.begin(now_s, rtt_s + waits_s, moved, restarts=restarts)
        bound = window.bound_Bps(flow.remaining_bytes, moved, path.line_Bps)
        self._network.fair.start(flow, path.pipes, min(bound, path.limit_Bps), now_s, rtt_s)

    def _limit(self, now_s: float) -> None:
        """What the window allows to the flow from now on."""
        path, flow = self._path, self._flow
        assert path is not None
        bound = self._window.bound_Bps(flow.remaining_bytes, self._moved, path.line_Bps)
        self._network.fair.limit(flow, min(bound, path.limit_Bps), now_s)

    def _stop(self, now_s: float) -> None:
        """Stop the flow."""
        flow, path = self._flow, self._path
        self._network.fair.stop(flow, now_s)
        assert path is not None
        self._window.end(now_s, self._moved, path.full_bytes)

    def _halt(self, now_s: float) -> None:
        if self._flow.active:
            self._stop(now_s)
        self._allowed = 0
        self._carry_bytes = 0.0

    def _schedule(self, now_s: float) -> None:
        """When to look at the flow next: its end, its next progress, or when the writer may go on."""
        flow = self._flow
        if flow.rate_Bps <= 0.0:
            return
        due = now_s + flow.remaining_bytes / flow.rate_Bps
        if self.paused or self._head_bytes:
            moved = self._allowed - flow.remaining_bytes
            until = self._head_bytes - moved
            if self.paused:
                over = self.queue.n_bytes - moved - SEND_BUFFER_BYTES - self.low
                until = min(until, over) if until > 0 and over > 0 else max(until, over)
            if 0 < until < flow.remaining_bytes:
                # Later than now, even where the clock has no nanoseconds left.
                due = min(due, max(now_s + until / flow.rate_Bps + 1e-9, math.nextafter(now_s, math.inf)))
        elif due >= self._event_s <= self._window.round_ends_s:
            return
        due = min(due, max(now_s, self._window.round_ends_s))
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
        if done or head or now_s >= self._shown_s + PROGRESS_S or self.paused:
            self._head_bytes = 0
            self._emit(now_s)
            self._shown_s = now_s
        if done:
            self._stop(now_s)
            if self.queue.n_bytes or self.eof_wanted or self._end.closing:
                self.touch()
        else:
            if now_s >= self._window.round_ends_s:
                assert self._path is not None
                self._window.end_round(now_s, self._moved, self._path.full_bytes)
                self._limit(now_s)
            self._schedule(now_s)

    def _emit(self, now_s: float) -> None:
        """Send what the flow has moved since the last time."""
        flow = self._flow
        flow.advance(now_s)
        left = (
            0
            if flow.remaining_bytes < NOTHING_BYTES or flow.rate_Bps == math.inf
            else math.ceil(flow.remaining_bytes - NOTHING_BYTES)
        )
        n = self._allowed - left
        if left and n > 0:
            n = self.queue.whole_bytes(n)
            left = self._allowed - n
        self._carry_bytes = left - flow.remaining_bytes if left else 0.0
        if n > 0:
            if self._deaf:
                self._unacknowledged += n
            self._allowed = left
            self._sent += n
            self._shown_s = now_s
            if self._path is not None and self._path.limiting:
                self._path.count_limits(flow, n, self._end.connection, self.cause)
            self._send(self.queue.take(n), n, now_s)
        if self.paused:
            self._resume_if_low()

    def _send(self, pieces: list[bytes] | None, n: int, now_s: float) -> None:
        """Let pieces (or None, a FIN) arrive at the peer after latency, jitter and retransmissions."""
        path = self._path
        assert path is not None
        arrival = now_s + path.latency_s + self._queue_s
        if path.jitter_s or path.loss:
            arrival = max(now_s, arrival + self.delays.extra_s(path, n))
        if arrival < self._arrival_floor_s:
            arrival = self._arrival_floor_s
        else:
            self._arrival_floor_s = arrival
        end = self._end
        if n and path.impaired:
            for impairment in path.delaying:
                impairment.effects.delay(end.connection, n, self.cause)
            if self.delays.lost:
                for impairment in path.losing:
                    if impairment.loses(path):
                        impairment.effects.lose(end.connection, n, self.cause)
                        break
        self.in_flight += n
        self._network.at(arrival, end.peer.receiver.arrive, (pieces, n, self.cause))
