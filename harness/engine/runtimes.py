"""The runtimes by name, and what live runs cannot do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from harness.faults.base import Fault
from harness.faults.primitives import Primitive
from harness.runtime.contract import KERNEL, PROXY, LoadSettings, Network, Runtime

SIM, LIVE = "sim", "live"
RUNTIMES = (SIM, LIVE)
NETWORKS: tuple[Network, ...] = (PROXY, KERNEL)


def live_runtime(
    *, network: Network = PROXY, load: LoadSettings | None = None, toxiproxy: str | None = None
) -> Runtime:
    """Real processes and sockets on this machine. With options, use it as `functools.partial`."""
    from harness.live.runtime import LiveRuntime

    return LiveRuntime(network, load, toxiproxy)


def unable_sim(timeline: Sequence[Fault]) -> Iterator[str]:
    """Which of these faults cannot be applied in virtual time, and why; nothing when all of them can."""
    for index, fault in enumerate(timeline):
        if Primitive.CPU_LIMIT in fault.needs:
            yield (
                f"timeline[{index}]: {fault.name or fault.fault}: virtual time has no processor cost that could "
                f"grow; run it with --runtime {LIVE}"
            )


def live_options(make: Callable[[], Runtime]) -> Mapping[str, Any] | None:
    """What `live_runtime` will be given; None for what makes another runtime."""
    made, options = (make.func, make.keywords) if isinstance(make, partial) else (make, {})
    return options if made is live_runtime else None


def unable_live(
    timeline: Sequence[Fault], network: Network = PROXY, toxiproxy: str | None = None
) -> Iterator[str]:
    """Which of these faults cannot be applied live, and why; nothing when all of them can.

    `toxiproxy`: another server than our own, which has what Toxiproxy has.
    """
    from harness.live.cpu import unavailable_reason

    for index, fault in enumerate(timeline):
        where = f"timeline[{index}]: {fault.name or fault.fault}"
        if fault.fault == "loss" and network == PROXY:
            yield (
                f"{where}: a proxy cannot lose packets of a TCP stream; "
                f"it needs --network {KERNEL} (root), or --runtime {SIM}"
            )
        if Primitive.CPU_LIMIT in fault.needs and (reason := unavailable_reason()) is not None:
            yield f"{where}: {reason}"
        if fault.parameters().get("shared") and toxiproxy is not None:
            yield (
                f"{where}: Toxiproxy limits each connection, not all of them together; 'shared' works without "
                f"--toxiproxy, with --network {KERNEL} (root), or with --runtime {SIM}"
            )


def unable_here(network: Network) -> Iterator[str]:
    """What this machine lacks for live runs with that network."""
    if network == KERNEL:
        from harness.live.kernel.probe import missing

        for lack in missing():
            yield f"--network {KERNEL}: {lack} (see: harness doctor)"
