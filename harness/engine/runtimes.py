"""The runtimes by name, and what live runs cannot do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from harness.faults.base import Fault
from harness.faults.primitives import Primitive
from harness.runtimes.base import LoadSettings, Runtime

SIM, LIVE = "sim", "live"
RUNTIMES = (SIM, LIVE)


def live_runtime(
    *, network: Literal["proxy", "kernel"] = "proxy", load: LoadSettings | None = None
) -> Runtime:
    """Real processes and sockets on this machine's loopback. With options, use it as `functools.partial`."""
    from harness.runtimes.live.runtime import LiveRuntime

    return LiveRuntime(network, load)


def is_live(make: Callable[[], Runtime]) -> bool:
    """Whether this makes live runtimes, with or without options."""
    return getattr(make, "func", make) is live_runtime


def unable_sim(timeline: Sequence[Fault]) -> Iterator[str]:
    """Which of these faults cannot be applied in virtual time, and why; nothing when all of them can."""
    for index, fault in enumerate(timeline):
        if Primitive.SLOW in fault.needs:
            yield (
                f"timeline[{index}]: {fault.name or fault.fault}: virtual time has no processor cost that could "
                f"grow; run it with --runtime {LIVE}"
            )


def unable_live(timeline: Sequence[Fault]) -> Iterator[str]:
    """Which of these faults cannot be applied live, and why; nothing when all of them can."""
    from harness.runtimes.live.cpu import unable

    for index, fault in enumerate(timeline):
        where = f"timeline[{index}]: {fault.name or fault.fault}"
        if fault.fault == "loss":
            yield f"{where}: a proxy cannot lose packets of a TCP stream; run it with --runtime {SIM}"
        if Primitive.SLOW in fault.needs and (reason := unable()) is not None:
            yield f"{where}: {reason}"
