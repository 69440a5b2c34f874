"""A fault that a person writes in one line, for a system that is up: parsed, checked, and its target resolved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from harness.diagnostics import Code, Diagnostic, unknown_name
from harness.engine.targets import TargetError, resolve
from harness.errors import ExperimentError, UsageError
from harness.experiment.parse import parse_fault
from harness.experiment.source import read_source
from harness.faults.base import Fault
from harness.faults.catalogue import FAULTS
from harness.faults.primitives import ResolvedTarget
from harness.runtime.options import Capabilities
from harness.system import System
from harness.text import nearest

EXAMPLE = "fault: crash, target: {node: edge-a-1}, for: 30s"


@dataclass(frozen=True, slots=True)
class SingleFaults:
    """Faults for a system, in a runtime with these capabilities. A fault without `for` lasts `default_for`."""

    system: System
    seed: int
    capabilities: Capabilities
    default_for: str = "24h"

    def make(self, text: str, number: int) -> tuple[Fault, ResolvedTarget]:
        """A fault as in an experiment's timeline, without `at`, and its target.

        Raises UsageError with everything that is wrong.
        """
        text = text.strip()
        if not text:
            raise UsageError([f"give a fault, for example '{EXAMPLE}'"])
        try:
            source = read_source(text if text.startswith("{") else "{" + text + "}", "fault")
        except ExperimentError as error:
            raise UsageError(map(_without_position, error.diagnostics)) from error
        draft = parse_fault(source, FAULTS, self._defaults(source.value))
        problems = list(draft.problems)
        for key in ("at", "every", "times"):
            if key in source.value:
                found = f"{key}: the fault is applied at once, and once; remove '{key}'"
                problems.append(Diagnostic(Code.BAD_REQUEST, found))
        fault, target = draft.fault, None
        if isinstance(fault, Fault):
            for lack in self.capabilities.missing(fault.needed()):
                problems.append(Diagnostic(Code.BAD_REQUEST, str(lack)))
            try:
                if isinstance(fault.target, str):
                    unknown = unknown_name("target", fault.target, (), also="a mapping such as {role: edge}")
                    raise TargetError([unknown])
                target = resolve(
                    fault.target, self.system, self.seed, number, nodes_only=fault.targets == "nodes"
                )
            except TargetError as error:
                problems += draft.reliable(one.below(("target",)) for one in error.diagnostics)
        if problems or target is None:
            raise UsageError(map(_without_position, problems))
        assert isinstance(fault, Fault)
        return fault, target

    def _defaults(self, value: Mapping[str, Any]) -> dict[str, str]:
        name = nearest(str(value.get("fault")), FAULTS)
        lasting = {} if name is None or FAULTS[name].instant else {"for": self.default_for}
        return {"at": "0s", **lasting}


def _without_position(problem: Diagnostic) -> Diagnostic:
    """It is one line that the person has just written."""
    return replace(problem, file="", line=0, col=0)
