"""Whether the faults fit the system, the load and the runtime: targets, times, names, duplicates."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.diagnostics import Code, Diagnostic, Path
from harness.engine.targets import TargetError, resolve
from harness.engine.unsupported import check_fault
from harness.engine.validate_load import load_end_s
from harness.experiment.model import Target
from harness.experiment.parse import Draft
from harness.experiment.source import Source
from harness.faults.base import Fault
from harness.runtime.capabilities import Capabilities
from harness.system import System

FIRST_FAULT_S = 5.0
"""No fault begins earlier: the steady state before it must be observed."""


def validate_timeline(
    draft: Draft, system: System | None, capabilities: Capabilities | None
) -> Iterator[Diagnostic]:
    source = draft.source
    end_s = load_end_s(draft)
    names: dict[str, int] = {}
    earlier: list[tuple[int, Fault]] = []
    for index, fault in enumerate(draft.timeline):
        path: Path = ("timeline", index)
        if not isinstance(fault, Fault):
            continue
        if capabilities is not None:
            yield from check_fault(source, index, fault, capabilities)
        if not draft.is_suspect((*path, "at")):
            yield from _times(source, path, fault, end_s)
        if system is not None:
            yield from _target(source, path, fault, system, index)
        line = source.mark(path).line
        if fault.name is not None and fault.name in names:
            found = f"duplicate fault name '{fault.name}' (first on line {names[fault.name]})"
            yield source.at((*path, "name"), Code.DUPLICATE, found)
        if fault.name is not None:
            names.setdefault(fault.name, line)
        first = next((other for other, seen in earlier if _is_duplicate(seen, fault)), None)
        if first is not None:
            found = f"duplicate fault (first on line {first}): same target, same time"
            yield source.at(path, Code.DUPLICATE, found, "remove one")
        if not draft.is_suspect(path):
            earlier.append((line, fault))


def _times(source: Source, path: Path, fault: Fault, end_s: float | None) -> Iterator[Diagnostic]:
    if fault.at < FIRST_FAULT_S:
        yield source.at(
            (*path, "at"),
            Code.BAD_TIMING,
            f"{fault.fault} begins at {fault.at:g}s",
            f"the steady state before it needs at least {FIRST_FAULT_S:g}s",
        )
    if end_s is None:
        return
    if fault.at >= end_s:
        yield source.at(
            (*path, "at"),
            Code.BAD_TIMING,
            f"{fault.fault} begins at {fault.at:g}s, after the load",
            f"the load ends at {end_s:g}s; begin earlier or extend the load",
        )
    elif fault.ends_s > end_s:
        key = next((key for key in ("for", "downtime") if (*path, key) in source.marks), "at")
        yield source.at(
            (*path, key),
            Code.BAD_TIMING,
            f"{fault.fault} lasts until {fault.ends_s:g}s",
            f"the load ends at {end_s:g}s; end the fault earlier or extend the load",
        )


def _target(source: Source, path: Path, fault: Fault, system: System, index: int) -> Iterator[Diagnostic]:
    try:
        # Any seed: it decides which hosts are picked, not whether they can be.
        resolve(fault.target, system, 0, index, nodes_only=fault.targets == "nodes")
    except TargetError as error:
        yield from (source.locate(one, (*path, "target")) for one in error.diagnostics)


def _is_duplicate(first: Fault, second: Fault) -> bool:
    """Whether both do the same at the same time, and not on hosts that are drawn for each."""

    def settings(fault: Fault) -> dict[str, Any]:
        return fault.model_dump(exclude={"name", "at", "for_"})

    overlap = first.at < second.ends_s and second.at < first.ends_s
    return (
        (overlap or first.at == second.at)
        and not _picks(first.target)
        and settings(first) == settings(second)
    )


def _picks(target: Target) -> bool:
    ends = [target] if target.link is None else [target.link.from_, target.link.to]
    return any(getattr(end, "pick", None) is not None for end in ends)
