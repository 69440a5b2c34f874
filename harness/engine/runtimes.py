"""The runtimes by name, and what each of them cannot do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.faults.base import Fault
from harness.runtimes.base import Runtime

SIM, LIVE = "sim", "live"
RUNTIMES = (SIM, LIVE)


def runtime_named(name: str) -> Runtime:
    """ValueError for a name that is none of `RUNTIMES`."""
    if name == SIM:
        from harness.runtimes.sim.runtime import SimRuntime

        return SimRuntime()
    if name == LIVE:
        from harness.runtimes.live.runtime import LiveRuntime

        return LiveRuntime()
    raise ValueError(f"no runtime '{name}'; there are {', '.join(RUNTIMES)}")


def unable(name: str, timeline: Sequence[Fault]) -> Iterator[str]:
    """Why this runtime cannot apply these faults; nothing when it can apply them all."""
    if name != LIVE:
        return
    for index, fault in enumerate(timeline):
        where = f"timeline[{index}]: {fault.name or fault.fault}"
        if fault.fault == "loss":
            yield f"{where}: a proxy cannot lose packets of a TCP stream; run it with --runtime sim"
        if fault.parameters().get("shared"):
            yield f"{where}: a proxy limits each connection; 'shared' needs --runtime sim"
