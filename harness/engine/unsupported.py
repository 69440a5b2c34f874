"""Faults that a runtime cannot apply, as diagnostics: the one check behind validate, plan, run, parity and pytest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from harness.diagnostics import Code, Diagnostic
from harness.experiment.source import Source, read_source
from harness.faults.base import Fault
from harness.runtime.capabilities import Capabilities

if TYPE_CHECKING:
    from harness.engine.read import ReadyExperiment


def unsupported(loaded: ReadyExperiment, capabilities: Capabilities) -> tuple[Diagnostic, ...]:
    """What of an experiment cannot be done; for one that was validated for another runtime."""
    timeline: tuple[Fault, ...] = loaded.experiment.timeline
    if not any(capabilities.missing(fault.needed()) for fault in timeline):
        return ()
    source = read_source(loaded.text, loaded.display_path)
    return tuple(
        problem
        for index, fault in enumerate(timeline)
        for problem in check_fault(source, index, fault, capabilities)
    )


def check_fault(source: Source, index: int, fault: Fault, capabilities: Capabilities) -> Iterator[Diagnostic]:
    """What of the fault at that place of the timeline cannot be done."""
    for lack in capabilities.missing(fault.needed()):
        yield source.at(
            ("timeline", index, "fault"), Code.UNSUPPORTED, f"{fault.fault}: {lack.reason}", lack.instead
        )
