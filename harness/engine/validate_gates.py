"""Whether the gates fit the system, the SLOs, the load and the timeline. Each kind of gate checks itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from harness.diagnostics import Code, Diagnostic, Path
from harness.engine.validate_load import drain_s, load_end_s
from harness.experiment.parse import Draft
from harness.faults.base import Fault
from harness.gates.base import CheckContext, Gate
from harness.sli.base import Slo
from harness.system import System


def validate_gates(
    draft: Draft, system: System | None, slos: Mapping[str, Slo | None] | None
) -> Iterator[Diagnostic]:
    source = draft.source
    if source.value.get("gates") == []:
        yield source.at(
            ("gates",), Code.EMPTY, "there is no gate", "an experiment without one proves nothing", key=True
        )
    context = CheckContext(system, slos, _faults_end_s(draft), _run_end_s(draft), _last_fault_start_s(draft))
    names: dict[str, int] = {}
    before: list[tuple[int, Gate]] = []
    for index, gate in enumerate(draft.gates):
        if not isinstance(gate, Gate):
            continue
        path: Path = ("gates", index)
        line = source.mark(path).line
        if gate.name is not None and gate.name in names:
            found = f"duplicate gate name '{gate.name}' (first on line {names[gate.name]})"
            yield source.at((*path, "name"), Code.DUPLICATE, found, "names are unique")
        if gate.name is not None:
            names.setdefault(gate.name, line)
        twin = next((other for other, seen in before if _nameless(seen) == _nameless(gate)), None)
        if twin is not None:
            yield source.at(path, Code.DUPLICATE, f"duplicate gate (first on line {twin})", "remove one")
        if not draft.is_suspect(path):
            before.append((line, gate))
        if gate.fault_key is not None and not source.value.get("timeline"):
            yield source.at(
                (*path, gate.fault_key),
                Code.CONFLICT,
                "the gate is about a fault, and there is none",
                "give a timeline, or remove the gate",
            )
        for problem in gate.check(context):
            yield source.locate(problem, path)


def _nameless(gate: Gate) -> Gate:
    return gate.model_copy(update={"name": None})


def _faults_end_s(draft: Draft) -> float | None:
    """When the last fault ends; None without faults, and where one is not valid."""
    return max((fault.ends_s for fault in _faults(draft)), default=None)


def _last_fault_start_s(draft: Draft) -> float | None:
    """When the last fault begins; None without faults, and where one is not valid."""
    return max((fault.at for fault in _faults(draft)), default=None)


def _faults(draft: Draft) -> list[Fault]:
    """All faults; none where one is not valid."""
    faults = [fault for fault in draft.timeline if isinstance(fault, Fault)]
    if len(faults) < len(draft.timeline) or any(
        draft.is_suspect(("timeline", index)) for index in range(len(faults))
    ):
        return []
    return faults


def _run_end_s(draft: Draft) -> float | None:
    """When the run is over at the latest; None where the load or the drain is not valid."""
    end_s, draining_s = load_end_s(draft), drain_s(draft)
    return None if end_s is None or draining_s is None else end_s + draining_s
