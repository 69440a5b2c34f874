"""What can be set of a fault, for people: each parameter with its kind, its unit, its default and its meaning."""

from __future__ import annotations

import types
import typing
from dataclasses import dataclass
from typing import Any, Literal

from harness.experiment.model import FaultDefinition
from harness.faults.base import Fault

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
    if origin in (typing.Union, types.UnionType):
        return _kind(next(part for part in arguments if part is not type(None)))
    return {bool: "true or false", int: "whole number", float: "number"}.get(annotation, "text"), ""
