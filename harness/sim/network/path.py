"""The path between two machines: the hops of its route, and the impairments by faults."""

from __future__ import annotations

import math
import weakref
from dataclasses import dataclass

from harness.runtime.routes import Hop, loss_limit_Bps
from harness.sim.network.fair import Pipe
from harness.sim.network.impairment import Impairment


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
            pipe = self._pipes[hop] = Pipe(hop.name, hop.bandwidth_bps / 8)
        return pipe


@dataclass(slots=True, eq=False)
class Path:
    """One direction between two machines, with the impairments in force. Times in s, rates in bytes/s.

    `blocked`: nothing gets through. `limit_Bps`: the rate at which TCP sends under its loss.
    `valid` turns false when the path changes: ask the network again.
    """

    latency_s: float
    jitter_s: float
    loss: float
    pipes: tuple[Pipe, ...]
    limit_Bps: float
    blocked: bool
    impairments: tuple[Impairment, ...]
    valid: bool = True


def make_path(
    hops: tuple[Hop, ...], pipe_of: Pipes, rtt_s: float, impairments: tuple[Impairment, ...], pair: str
) -> Path:
    """Put the hops and the impairments together. `rtt_s` is the round trip without the impairments."""
    latency = jitter = 0.0
    through = 1.0
    pipes: list[Pipe] = []
    blocked = False
    for hop in hops:
        latency += hop.latency_s
        jitter += hop.jitter_s
        through *= 1.0 - hop.loss
        if (pipe := pipe_of.get(hop)) is not None:
            pipes.append(pipe)
    for each in impairments:
        blocked = blocked or each.cut
        if each.shape is not None:
            latency += each.shape.latency_s
            jitter += each.shape.jitter_s
            rtt_s += each.shape.latency_s
            through *= 1.0 - each.shape.loss
            if (extra := each.pipe(pair)) is not None:
                pipes.append(extra)
    loss = 1.0 - through
    limit = loss_limit_Bps(loss, rtt_s)
    return Path(latency, jitter, loss, tuple(dict.fromkeys(pipes)), limit, blocked, impairments)
