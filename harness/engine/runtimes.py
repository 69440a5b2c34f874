"""The runtimes by name, and what live runs cannot do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from harness.faults.base import Fault
from harness.runtimes.base import KERNEL, PROXY, Network, Runtime

SIM, LIVE = "sim", "live"
RUNTIMES = (SIM, LIVE)
NETWORKS: tuple[Network, ...] = (PROXY, KERNEL)


def live_runtime(*, network: Network = PROXY) -> Runtime:
    """Real processes and sockets on this machine. To set it up for a suite: `partial(live_runtime, network=...)`."""
    from harness.runtimes.live.runtime import LiveRuntime

    return LiveRuntime(network)


def live_options(make: Callable[[], Runtime]) -> Mapping[str, Any] | None:
    """What `live_runtime` will be given; None for what makes another runtime."""
    made, options = (make.func, make.keywords) if isinstance(make, partial) else (make, {})
    return options if made is live_runtime else None


def unable_live(timeline: Sequence[Fault], network: Network = PROXY) -> Iterator[str]:
    """Which of these faults cannot be applied live, and why; nothing when all of them can."""
    if network != PROXY:
        return
    for index, fault in enumerate(timeline):
        where = f"timeline[{index}]: {fault.name or fault.fault}"
        if fault.fault == "loss":
            yield f"{where}: a proxy cannot lose packets of a TCP stream; {_ELSEWHERE}"
        if fault.parameters().get("shared"):
            yield f"{where}: a proxy limits each connection, 'shared' is beyond it; {_ELSEWHERE}"


_ELSEWHERE = f"it needs --network {KERNEL} (root), or --runtime {SIM}"


def unable_here(network: Network) -> Iterator[str]:
    """What this machine lacks for live runs with that network."""
    if network == KERNEL:
        from harness.runtimes.live.kernel.probe import missing

        for lack in missing():
            yield f"--network {KERNEL}: {lack} (see: harness doctor)"
