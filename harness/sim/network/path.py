"""The path between two machines: the hops of its route, and the impairments by faults."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from harness.faults.exposure import MIN_NOTICEABLE_S, MIN_SLOWDOWN, Cause, Exposure, ExposureCounter
from harness.faults.primitives import LinkShape, PathMatch
from harness.runtime.routes import Hop, loss_limit_Bps
from harness.sim.network.fair import Flow, Pipe
from harness.sim.network.window import MAX_WINDOW_BYTES


class Impairment:
    """A fault's change to all traffic that matches, in force from `since_s` until removed.

    `cut`: nothing gets through. `shape`: what is added to the path otherwise. `effects`: what it did to the traffic.
    """

    __slots__ = ("_lift", "_rng", "_shared", "cut", "effects", "match", "shape", "since_s")

    def __init__(
        self,
        match: PathMatch,
        shape: LinkShape | None,
        cut: bool,
        since_s: float,
        lift: Callable[[Impairment], None],
    ) -> None:
        self.match = match
        self.shape = shape
        self.cut = cut
        self.since_s = since_s
        self.effects = ExposureCounter()
        self._lift = lift
        self._rng: Random | None = None
        self._shared: Pipe | None = None

    def loses(self, path: Path) -> bool:
        """Whether a loss on the path is this fault's: one in so many as it causes of all. Its draws are its own."""
        assert self.shape is not None
        if self.shape.loss >= path.loss:
            return True
        if self._rng is None:
            self._rng = Random(repr((self.match, self.shape)))
        return self._rng.random() < math.log1p(-self.shape.loss) / math.log1p(-path.loss)

    def pipe(self, name: str) -> Pipe | None:
        """The limit of the traffic between a pair of machines (or of all traffic together); None without one."""
        if self.shape is None or self.shape.bandwidth_bps is None:
            return None
        capacity = self.shape.bandwidth_bps / 8
        if not self.shape.shared:
            return Pipe(name, capacity)
        if self._shared is None:
            self._shared = Pipe("shared limit", capacity)
        return self._shared

    def exposure(self) -> Exposure:
        return self.effects.exposure()

    def remove(self) -> None:
        """Restore the traffic. Idempotent."""
        self._lift(self)


class Pipes:
    """The pipe of each hop that has a limit. A pipe lives as long as its hop."""

    def __init__(self) -> None:
        self._pipes: weakref.WeakKeyDictionary[Hop, Pipe] = weakref.WeakKeyDictionary()

    def get(self, hop: Hop) -> Pipe | None:
        """None for a hop without a limit."""
        if math.isinf(hop.bandwidth_bps):
            return None
        pipe = self._pipes.get(hop)
        if pipe is None:
            pipe = self._pipes[hop] = Pipe(hop.name, hop.bandwidth_bps / 8, hop.queue_bytes)
        return pipe


@dataclass(slots=True, eq=False)
class Path:
    """One direction between two machines, with the impairments in force. Times in s, rates in bytes/s.

    `blocked`: nothing gets through. `limit_Bps`: the rate at which TCP sends under its loss. `line_Bps`: what a single
    flow gets at most. `full_bytes`: the most that can be under way: on the line and in its queue.
    `valid` turns false when the path changes: ask the network again.
    `delaying`, `losing`, `cutting`: the impairments that add a noticeable delay, a loss or a cut, in the order in which
    they were applied. `limiting`: those that add a limit, with it.
    """

    latency_s: float
    jitter_s: float
    loss: float
    pipes: tuple[Pipe, ...]
    limit_Bps: float
    blocked: bool
    line_Bps: float = math.inf
    full_bytes: float = MAX_WINDOW_BYTES
    delaying: tuple[Impairment, ...] = ()
    losing: tuple[Impairment, ...] = ()
    limiting: tuple[tuple[Impairment, Pipe], ...] = ()
    cutting: tuple[Impairment, ...] = ()
    valid: bool = True

    def queue_s(self, now_s: float) -> float:
        """How long something that starts now waits in queues."""
        return sum(pipe.delay_s(now_s) for pipe in self.pipes) if self.pipes else 0.0

    @property
    def impaired(self) -> bool:
        """Whether a fault may delay or lose what is sent."""
        return bool(self.delaying or self.losing)

    def count_limits(self, flow: Flow, n_bytes: int, connection: int, cause: Cause) -> None:
        """Count so many bytes of a flow for the limit that slows it down, if one does."""
        limiting = min(self.limiting, key=lambda each: each[1].capacity_Bps)
        impairment, pipe = limiting
        if flow.rate_Bps <= 0.0 or not pipe.limits(flow):
            return
        others = {each for _, each in self.limiting}
        free_Bps = min((each.capacity_Bps for each in self.pipes if each not in others), default=math.inf)
        free_Bps = min(free_Bps, self.limit_Bps)
        longer_s = n_bytes / flow.rate_Bps - n_bytes / free_Bps
        if free_Bps >= flow.rate_Bps * MIN_SLOWDOWN and longer_s >= MIN_NOTICEABLE_S:
            impairment.effects.limit(connection, n_bytes, cause)


def make_path(
    hops: tuple[Hop, ...], pipe_of: Pipes, rtt_s: float, impairments: tuple[Impairment, ...], pair: str
) -> Path:
    """Put the hops and the impairments together. `rtt_s` is the round trip without the impairments."""
    latency = jitter = 0.0
    through = 1.0
    pipes: list[Pipe] = []
    limiting: list[tuple[Impairment, Pipe]] = []
    blocked = False
    for hop in hops:
        latency += hop.latency_s
        jitter += hop.jitter_s
        through *= 1.0 - hop.loss
        if (pipe := pipe_of.get(hop)) is not None:
            pipes.append(pipe)
    noticeable_s = max(MIN_NOTICEABLE_S, jitter)
    for each in impairments:
        blocked = blocked or each.cut
        if each.shape is not None:
            latency += each.shape.latency_s
            jitter += each.shape.jitter_s
            rtt_s += each.shape.latency_s
            through *= 1.0 - each.shape.loss
            if (extra := each.pipe(pair)) is not None:
                pipes.append(extra)
                limiting.append((each, extra))
    loss = 1.0 - through
    limit = loss_limit_Bps(loss, rtt_s)
    tightest = min(pipes, key=lambda pipe: pipe.capacity_Bps, default=None)
    line = math.inf if tightest is None else tightest.capacity_Bps
    full = math.inf if tightest is None else line * rtt_s + tightest.queue.limit_bytes
    shaped = [(each, each.shape) for each in impairments if each.shape is not None]
    return Path(
        latency,
        jitter,
        loss,
        tuple(dict.fromkeys(pipes)),
        limit,
        blocked,
        min(line, limit),
        min(full, limit * rtt_s, MAX_WINDOW_BYTES),
        delaying=tuple(e for e, shape in shaped if max(shape.latency_s, shape.jitter_s) >= noticeable_s),
        losing=tuple(each for each, shape in shaped if shape.loss),
        limiting=tuple(limiting),
        cutting=tuple(each for each in impairments if each.cut),
    )
