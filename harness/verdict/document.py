"""The one JSON document of a suite, as `--json` prints it and CI reads it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from harness.gates.result import GateResult, Verdict
from harness.verdict.model import ArmResult, ExperimentResult, FaultResult


def suite_document(results: Iterable[ExperimentResult], verdict: Verdict, exit_code: int) -> dict[str, Any]:
    """`{"verdict", "exit_code", "experiments": [...]}`, of plain JSON values only."""
    return {
        "verdict": verdict.value,
        "exit_code": exit_code,
        "experiments": [experiment_document(result) for result in results],
    }


def experiment_document(result: ExperimentResult) -> dict[str, Any]:
    return {
        "name": result.name,
        "title": result.title,
        "file": result.file,
        "verdict": result.verdict.value,
        "reason": result.reason,
        "seed": result.seed,
        "run": result.run,
        "history_sha256": result.history_sha256,
        "replay": result.replay,
        "without": list(result.without),
        "gates": [_gate(gate) for gate in result.gates],
        "faults": [_fault(fault) for fault in result.faults],
        "arms": [_arm(arm) for arm in result.arms],
        "steady_state": [_gate(gate) for gate in result.steady_state],
        "notes": list(result.notes),
    }


def _gate(gate: GateResult) -> dict[str, Any]:
    return {
        "name": gate.name,
        "kind": gate.kind,
        "slo": gate.slo,
        "verdict": gate.verdict.value,
        "reason": gate.reason,
        "value": gate.value,
        "interval": None if gate.interval is None else list(gate.interval),
        "limit": gate.limit,
        "unit": gate.unit,
        "samples": gate.samples,
        "needs": gate.needs,
        "line": gate.line,
    }


def _fault(fault: FaultResult) -> dict[str, Any]:
    return {
        "name": fault.name,
        "fault": fault.fault,
        "targets": list(fault.targets),
        "applied_at_s": fault.applied_at_s,
        "undone_at_s": fault.undone_at_s,
        "exposure": dict(fault.exposure),
        "verdict": fault.verdict.value,
        "reason": fault.reason,
    }


def _arm(arm: ArmResult) -> dict[str, Any]:
    return {
        "name": arm.name,
        "without": list(arm.without),
        "must": arm.must,
        "verdict": arm.verdict.value,
        "reason": arm.reason,
        "history_sha256": arm.history_sha256,
        "gates": [_gate(gate) for gate in arm.gates],
        "faults": [_fault(fault) for fault in arm.faults],
    }


def results_of(document: Mapping[str, Any]) -> tuple[ExperimentResult, ...]:
    """The results that a document was made from. Raises ValueError for what is not such a document."""
    try:
        return tuple(_result_of(found) for found in document["experiments"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"not a verdict document: {type(error).__name__}: {error}") from error


def _result_of(found: Mapping[str, Any]) -> ExperimentResult:
    return ExperimentResult(
        **{
            **found,
            "verdict": Verdict(found["verdict"]),
            "gates": tuple(map(_gate_of, found["gates"])),
            "faults": tuple(map(_fault_of, found["faults"])),
            "arms": tuple(map(_arm_of, found["arms"])),
            "steady_state": tuple(map(_gate_of, found["steady_state"])),
            "without": tuple(found["without"]),
            "notes": tuple(found["notes"]),
        }
    )


def _gate_of(found: Mapping[str, Any]) -> GateResult:
    interval = found["interval"]
    return GateResult(
        **{
            **found,
            "verdict": Verdict(found["verdict"]),
            "interval": None if interval is None else (interval[0], interval[1]),
        }
    )


def _fault_of(found: Mapping[str, Any]) -> FaultResult:
    return FaultResult(**{**found, "verdict": Verdict(found["verdict"]), "targets": tuple(found["targets"])})


def _arm_of(found: Mapping[str, Any]) -> ArmResult:
    return ArmResult(
        **{
            **found,
            "verdict": Verdict(found["verdict"]),
            "without": tuple(found["without"]),
            "gates": tuple(map(_gate_of, found["gates"])),
            "faults": tuple(map(_fault_of, found["faults"])),
        }
    )
