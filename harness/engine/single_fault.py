"""A fault that a person writes in one line, for a system that is up: parsed, checked, and its target resolved."""

from __future__ import annotations

from dataclasses import dataclass, replace

from harness.diagnostics import Diagnostic
from harness.engine.targets import resolve
from harness.errors import ExperimentError, UsageError
from harness.experiment.parse import parse_fault
from harness.experiment.source import read_source
from harness.faults.base import Fault
from harness.faults.catalogue import FAULTS
from harness.faults.primitives import ResolvedTarget
from harness.runtime.options import Capabilities
from harness.system import System

EXAMPLE = "fault: crash, target: {node: edge-a-1}, for: 30s"


@dataclass(frozen=True, slots=True)
class SingleFaults:
    """Faults for a system, in a runtime with these capabilities. A fault without `for` lasts `default_for`."""

    system: System
    seed: int
    capabilities: Capabilities
    default_for: str = "24h"

    def make(self, text: str, number: int) -> tuple[Fault, ResolvedTarget]:
        """Raises InvalidInput with everything that is wrong."""
        fault = self.parse(text)
        only_nodes = fault.targets == "nodes"
        return fault, resolve(fault.target, self.system, self.seed, number, nodes_only=only_nodes)

    def parse(self, text: str) -> Fault:
        """A fault as in an experiment's timeline, without `at`. Raises UsageError with everything that is wrong."""
        text = text.strip()
        if not text:
            raise UsageError([f"give a fault, for example '{EXAMPLE}'"])
        text = text if text.startswith("{") else "{" + text + "}"
        try:
            value = read_source(text, "fault").value
            kind = FAULTS.get(str(value.get("fault")))
            lasting = {} if kind is None or kind.instant or "for" in value else {"for": self.default_for}
            fault = parse_fault(text, FAULTS, {**(value if "at" in value else {"at": "0s"}), **lasting})
        except ExperimentError as error:
            raise UsageError(map(_without_position, error.diagnostics)) from error
        assert isinstance(fault, Fault)
        if "at" in value:
            raise UsageError(["at: the fault is applied at once; remove 'at'"])
        if lacks := self.capabilities.missing(fault.needed()):
            raise UsageError(map(str, lacks))
        return fault


def _without_position(problem: Diagnostic) -> Diagnostic:
    """It is one line that the person has just written."""
    return replace(problem, file="", line=0, col=0)
