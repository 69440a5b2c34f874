"""The faults by name: those that come with the harness, and users' own (entry-point group `harness.faults`).

A package adds its own in its pyproject.toml, as docs/faults.md shows:

    [project.entry-points."harness.faults"]
    brown-out = "my_package.faults:BrownOut"
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import Any, Literal

from harness.errors import HarnessError
from harness.experiment.model import FaultDefinition
from harness.faults.bandwidth import Bandwidth
from harness.faults.base import Fault
from harness.faults.clock_skew import ClockSkew
from harness.faults.cpu_limit import CpuLimit
from harness.faults.crash import Crash
from harness.faults.deploy import Deploy
from harness.faults.disk import Disk
from harness.faults.dns import Dns
from harness.faults.http_body import HttpBody
from harness.faults.http_delay import HttpDelay
from harness.faults.http_error import HttpError
from harness.faults.latency import Latency
from harness.faults.loss import Loss
from harness.faults.partition import Partition
from harness.faults.pause import Pause
from harness.faults.power_off import PowerOff
from harness.faults.reset import Reset
from harness.faults.restart import Restart
from harness.system.registry import load_entry_point

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
    HttpBody,
    ClockSkew,
    Disk,
    Dns,
    Deploy,
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


KINDS = {
    "Duration": ("duration, such as 200ms", "s"),
    "Bitrate": ("bit rate, such as 5Mbps", "bps"),
    "ByteCount": ("size, such as 64KB", "bytes"),
    "Ratio": ("share, such as 5%", "share"),
    "Share": ("share, such as 5%", "share"),
    "Rate": ("rate, such as 4/s", "per_s"),
}
"""Endings of the names of quantities (`harness.experiment.units`): what to write, and the unit of the value."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """`kind`: what is written for it. `unit`: of its value in base units (s, bps, bytes, share), or "".

    `needed`: it has no default. `default`: in base units, None where it is not set. `about`: one line.
    """

    name: str
    kind: str
    unit: str
    needed: bool
    default: Any
    about: str


def parameters(fault: type[Fault]) -> tuple[Parameter, ...]:
    """The fault's own parameters, beyond `at`, `for`, `target` and `name`, those that are needed first."""
    found = []
    for name, field in fault.model_fields.items():
        if name in FaultDefinition.model_fields:
            continue
        kind, unit = _kind(field.annotation)
        needed = field.is_required()
        about = " ".join((field.description or "").split())
        found.append(
            Parameter(field.alias or name, kind, unit, needed, None if needed else field.default, about)
        )
    return tuple(sorted(found, key=lambda parameter: not parameter.needed))


def _kind(annotation: Any) -> tuple[str, str]:
    """What is written for a type, and the unit of its values."""
    if isinstance(annotation, typing.TypeAliasType):
        name = annotation.__name__
        known = next((known for ending, known in KINDS.items() if name.endswith(ending)), None)
        return known or _kind(annotation.__value__)
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _kind(arguments[0])
    if origin is Literal:
        return f"one of {', '.join(map(str, arguments))}", ""
    if origin is dict:
        return "mapping", ""
    if origin in (typing.Union, types.UnionType):
        return _kind(next(part for part in arguments if part is not type(None)))
    return {bool: "true or false", int: "whole number", float: "number"}.get(annotation, "text"), ""
