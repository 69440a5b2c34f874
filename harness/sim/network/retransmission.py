"""What TCP does about packets that do not arrive: the delay of repairing a loss, and trying again after a cut.

Time-outs as RFC 6298 (RTO) and Linux have them: at least 200 ms, doubled at each try, at most 120 s, given up after
15 retries.
"""

from __future__ import annotations

import errno
from random import Random
from typing import TYPE_CHECKING

from harness.runtime.routes import MSS_BYTES
from harness.sim.network.path import Path

if TYPE_CHECKING:
    from harness.sim.network.network import SimNetwork
    from harness.sim.network.transport import SimTransport

MIN_RTO_S = 0.2
SYN_RTO_S = 1.0
MAX_RTO_S = 120.0
MAX_RETRIES = 15


class LossDelays:
    """The random part of travel times: jitter, and retransmission. `stream` names its own stream of randomness."""

    __slots__ = ("_rng", "_stream", "lost")

    def __init__(self, stream: str) -> None:
        self.lost = False
        """Whether anything was lost the last time."""
        self._stream = stream
        self._rng: Random | None = None

    def _random(self) -> Random:
        # Seeding is slow, and most connections cross paths without jitter and loss.
        if self._rng is None:
            self._rng = Random(self._stream)
        return self._rng

    def handshake_s(self, path: Path) -> float:
        """How long a SYN or its answer takes; a lost one is sent again after 1 s, 2 s, ... (RFC 6298)."""
        travel, retry = path.latency_s, SYN_RTO_S
        self.lost = False
        if path.jitter_s:
            travel = max(0.0, travel + self._random().uniform(-path.jitter_s, path.jitter_s))
        while path.loss and self._random().random() < path.loss and retry < MAX_RTO_S:
            self.lost = True
            travel += retry
            retry *= 2
        return travel

    def extra_s(self, path: Path, n_bytes: int) -> float:
        """Jitter (uniform, both ways), and by how much retransmission delays the end of so many bytes."""
        rng = self._random()
        self.lost = False
        extra = rng.uniform(-path.jitter_s, path.jitter_s) if path.jitter_s else 0.0
        if path.loss:
            packets = max(1, -(-n_bytes // MSS_BYTES))
            rtt = path.latency_s * 2
            rto = max(MIN_RTO_S, rtt * 1.5)
            # With three or more packets behind it a loss is repaired in a round trip (fast retransmit);
            # in the last three, or when the repair is lost too, by time-out, doubled each time.
            if packets > 3 and rng.random() < 1.0 - (1.0 - path.loss) ** (packets - 3):
                extra += rtt
                self.lost = True
            wait = 0.0
            for _ in range(min(packets, 3)):
                waited, timeout = 0.0, rto
                while rng.random() < path.loss and waited < MAX_RTO_S:
                    waited += timeout
                    timeout *= 2
                wait = max(wait, waited)
            self.lost = self.lost or wait > 0.0
            extra += wait
        return extra


class RetransmissionTimer:
    """Tries again, with exponential back-off, while nothing of one end gets through."""

    __slots__ = ("_end", "_network", "retries", "running")

    def __init__(self, end: SimTransport, network: SimNetwork) -> None:
        self._end = end
        self._network = network
        self.retries = 0
        """Since something last got through; set to 0 by the sender."""
        self.running = False

    def hold(self, path: Path, n_bytes: int) -> None:
        """So many bytes do not get through: count them for the faults, and try again later."""
        self._count(path, n_bytes)
        if not self.running:
            self._start()

    def _count(self, path: Path, n_bytes: int) -> None:
        end, sender = self._end, self._end.sender
        if not sender.queue.n_bytes:
            return  # only a FIN
        cut, machine = next(iter(path.cutting), None), end.peer.machine
        if cut is not None and not machine.stopped_before(cut.since_s):
            cut.effects.lose(end.connection, n_bytes, sender.cause)
        elif end.peer.gone:
            machine.note_held(end.connection, n_bytes, sender.cause)

    def _start(self) -> None:
        self.running = True
        due = self._network.loop.now_s + min(MAX_RTO_S, MIN_RTO_S * 2.0**self.retries)
        self._network.at(due, self._expire, None)

    def _expire(self, now_s: float, _: None) -> None:
        self.running = False
        end, network = self._end, self._network
        if end.gone or not end.machine.connected:
            return
        self.retries += 1
        if self.retries > MAX_RETRIES:
            end.fail(TimeoutError(errno.ETIMEDOUT, "Connection timed out"))
            return
        peer = end.peer
        forward = network.path(end.machine, peer.machine)
        back = network.path(peer.machine, end.machine)
        if forward.blocked or back.blocked or not peer.machine.connected:
            self._count(back if back.blocked else forward, 0)
            self._start()
        elif peer.gone:
            # It came back and knows nothing of this connection.
            network.at(now_s + forward.latency_s + back.latency_s, end.reset_arrives, None)
        else:
            end.sender.unblock()
