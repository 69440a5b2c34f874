"""The faults by name: those that come with the harness, and users' own (entry-point group `harness.faults`).

A package adds its own in its pyproject.toml, as docs/faults.md shows:

    [project.entry-points."harness.faults"]
    brown-out = "my_package.faults:BrownOut"
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points
from types import MappingProxyType

from harness.errors import HarnessError
from harness.faults.bandwidth import Bandwidth
from harness.faults.base import Fault
from harness.faults.cpu_limit import CpuLimit
from harness.faults.crash import Crash
from harness.faults.http_delay import HttpDelay
from harness.faults.http_error import HttpError
from harness.faults.latency import Latency
from harness.faults.loss import Loss
from harness.faults.partition import Partition
from harness.faults.pause import Pause
from harness.faults.power_off import PowerOff
from harness.faults.reset import Reset
from harness.faults.restart import Restart
from harness.system.distribution import load_entry_point

GROUP = "harness.faults"

BUILT_IN: tuple[type[Fault], ...] = (
    Latency,
    Bandwidth,
    Loss,
    Partition,
    Reset,
    Crash,
    PowerOff,
    Restart,
    Pause,
    CpuLimit,
    HttpError,
    HttpDelay,
)


class FaultModelError(HarnessError):
    """An entry point of the group `harness.faults` is not a valid fault."""


def name_of(fault: type[Fault]) -> str:
    """The name under which experiments write this fault."""
    return str(fault.model_fields["fault"].default)


def catalogue() -> Mapping[str, type[Fault]]:
    """All faults by name, the built-in ones first. Raises FaultModelError for a broken or clashing entry point."""
    found: dict[str, type[Fault]] = {name_of(fault): fault for fault in BUILT_IN}
    for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value)):
        try:
            value = load_entry_point(point)
        except Exception as error:
            raise FaultModelError(
                f"fault '{point.name}' ({point.value}) cannot be imported: {type(error).__name__}: {error}"
            ) from error
        if not (isinstance(value, type) and issubclass(value, Fault)):
            raise FaultModelError(
                f"fault '{point.name}' ({point.value}) is not a subclass of harness.faults.Fault"
            )
        if name_of(value) != point.name:
            raise FaultModelError(
                f"fault '{point.name}' ({point.value}) is named '{name_of(value)}'; use one name"
            )
        if point.name in found:
            raise FaultModelError(
                f"fault '{point.name}' ({point.value}) is a duplicate of {found[point.name]}"
            )
        if not hasattr(value, "needs") or not hasattr(value, "targets"):
            raise FaultModelError(
                f"fault '{point.name}' ({point.value}) must set the class variables targets, needs"
            )
        found[point.name] = value
    return MappingProxyType(found)


FAULTS: Mapping[str, type[Fault]] = catalogue()
