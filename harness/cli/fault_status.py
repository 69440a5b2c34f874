"""The faults of a system that is up, as lines for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.live.interactive.protocol import FaultStatus


def describe_status(status: FaultStatus) -> str:
    """`1: latency (delay 400 ms) on gateway-1 > recommender-1, 30 s left`."""
    from dataclasses import asdict

    from harness.sli.formatting import exposure

    on = f"{describe_fault(status)} on {', '.join(status.targets)}"
    affected = f"affected {exposure(asdict(status.exposure))}"
    if status.state == "done":
        return f"done: {on}; {affected}"
    if status.state == "removed":
        return f"{status.number} removed: {status.fault}; {affected}"
    if status.error is not None:
        again = f"try again: harness fault remove {status.number}"
        return f"{status.number}: {on}, STILL APPLIED, at least in part: {status.error}; {again}"
    left = "until it is removed" if status.left_s is None else f"{status.left_s:.0f} s left"
    return f"{status.number}: {on}, {left}"


def describe_fault(status: FaultStatus) -> str:
    """`latency (delay 400 ms)`: the parameters that differ from their defaults."""
    from harness.faults.catalogue import FAULTS, parameters
    from harness.sli.formatting import quantity

    given = status.parameters
    texts = [
        f"{one.name} {quantity(given[one.name], one.unit) if one.unit else given[one.name]}"
        for one in parameters(FAULTS[status.fault])
        if one.name in given and given[one.name] != one.default
    ]
    return f"{status.fault} ({', '.join(texts)})" if texts else status.fault
