"""The toxics that the base shapes of a link and the faults on it consist of."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from harness.faults.primitives import LinkShape
from harness.live.links import DOWNSTREAM, UPSTREAM, Link, LinkFault
from harness.live.toxiproxy import FOREVER_MS, Toxic
from harness.runtime.options import Lack
from harness.runtime.routes import loss_limit_Bps

NO_LOSS = Lack("a proxy cannot drop packets of a TCP stream", "use --network kernel (root) or --runtime sim")
NO_SHARED_RATE = Lack(
    "Toxiproxy limits each connection, not all of them together",
    "leave out --toxiproxy, or use --network kernel (root) or --runtime sim",
)


@dataclass(frozen=True, slots=True)
class ProxyFeatures:
    """`extended`: the server has the additions of docs/toxiproxy.md. `kernel`: the kernel drops packets and limits
    rates, so that proxies do latency and jitter only."""

    extended: bool = True
    kernel: bool = False

    def problem(self, shape: LinkShape | None) -> str | None:
        """Why a fault is not possible; None when it is."""
        if shape is None or self.kernel:
            return None
        if shape.loss:
            return f"loss: {NO_LOSS}"
        if shape.shared and not self.extended:
            return f"shared: {NO_SHARED_RATE}"
        return None


def base_toxics(link: Link, features: ProxyFeatures) -> Iterator[Toxic]:
    for direction, shape in zip((UPSTREAM, DOWNSTREAM), link.shapes, strict=True):
        name = f"base-{direction}"
        yield from _latency(name, direction, shape.latency_s, shape.jitter_s, features)
        if features.kernel:
            yield from _bandwidth(name, direction, _loss_limit_bps(shape.loss, link.rtt_s))
        elif features.extended:
            for number, limit in enumerate(shape.limits, start=1):
                group = f"{limit.group} {limit.key}"
                yield from _bandwidth(f"{name}-{number}", direction, limit.rate_bps, group)
        elif shape.limits:
            yield from _bandwidth(name, direction, min(limit.rate_bps for limit in shape.limits))


def fault_toxics(link: Link, fault: LinkFault, features: ProxyFeatures) -> Iterator[Toxic]:
    for direction in link.directions(fault.match):
        name, shape = f"fault-{fault.number}-{direction}", fault.shape
        if shape is None:
            if not features.kernel:
                yield Toxic(f"{name}-cut", "latency", direction, {"latency": FOREVER_MS})
            continue
        yield from _latency(name, direction, shape.latency_s, shape.jitter_s, features)
        if features.kernel:
            yield from _bandwidth(name, direction, _loss_limit_bps(shape.loss, link.rtt_s))
        elif shape.bandwidth_bps is not None:
            group = ""
            if features.extended:
                group = f"fault-{fault.number}"
                if not shape.shared:
                    src, dst = link.ends(direction)
                    group = f"{group} {src.name} > {dst.name}"
            yield from _bandwidth(name, direction, shape.bandwidth_bps, group)


def _loss_limit_bps(loss: float, rtt_s: float) -> float:
    """The rate, in bit/s, that loss leaves of a connection with this round trip.

    The kernel loses packets between the initiator and its proxy, where there is no latency and TCP recovers at once.
    """
    return loss_limit_Bps(loss, rtt_s) * 8


def _latency(
    name: str, direction: str, latency_s: float, jitter_s: float, features: ProxyFeatures
) -> Iterator[Toxic]:
    """In microseconds, or where the server has only those, in whole milliseconds."""
    latency_us, jitter_us = round(latency_s * 1e6), round(min(jitter_s, latency_s) * 1e6)
    latency_ms, jitter_ms = round(latency_us / 1e3), round(jitter_us / 1e3)
    attributes: dict[str, int | str] = {}
    if features.extended and (latency_us or jitter_us):
        attributes = {"latency_us": latency_us, "jitter_us": jitter_us}
    elif not features.extended and (latency_ms or jitter_ms):
        attributes = {"latency": latency_ms, "jitter": jitter_ms}
    if attributes:
        yield Toxic(f"{name}-latency", "latency", direction, attributes)


def _bandwidth(name: str, direction: str, rate_bps: float, group: str = "") -> Iterator[Toxic]:
    """`group`: connections of the same group share the rate; without one, each connection has its own."""
    if math.isfinite(rate_bps):
        # Toxiproxy's unit is a whole number of 1,000 bytes a second; 0 would let nothing pass.
        attributes: dict[str, int | str] = {"rate": max(1, round(rate_bps / 8e3))}
        if group:
            attributes["group"] = group
        yield Toxic(f"{name}-bandwidth", "bandwidth", direction, attributes)
