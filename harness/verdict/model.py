"""What a run comes to: its faults, its arms, the experiment as a whole. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.gates.result import GateResult, Verdict


@dataclass(frozen=True, slots=True)
class FaultResult:
    """One fault as it happened. Times in seconds of the run; None where it never came to it."""

    name: str
    fault: str
    targets: tuple[str, ...]
    applied_at_s: float | None
    undone_at_s: float | None
    exposure: dict[str, int]
    verdict: Verdict
    reason: str


@dataclass(frozen=True, slots=True)
class ArmResult:
    """One ablation arm: the gate it judged, and whether it did what it must."""

    name: str
    without: tuple[str, ...]
    must: str
    verdict: Verdict
    gates: tuple[GateResult, ...]
    faults: tuple[FaultResult, ...]
    history_sha256: str
    reason: str


@dataclass(frozen=True, slots=True)
class ExperimentResult:
    """All that is known of one run. `run` is the run directory, `replay` the command that repeats it."""

    name: str
    title: str
    file: str
    verdict: Verdict
    reason: str
    seed: int
    run: str
    history_sha256: str
    replay: str
    gates: tuple[GateResult, ...]
    faults: tuple[FaultResult, ...]
    arms: tuple[ArmResult, ...] = ()
    steady_state: tuple[GateResult, ...] = ()
    without: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())
