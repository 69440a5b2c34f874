"""Verdicts: what they are, what they carry, how they combine. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum


class Verdict(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"
    ERROR = "error"
    INTERRUPTED = "interrupted"


EXIT_CODES = {
    Verdict.PASSED: 0,
    Verdict.FAILED: 1,
    Verdict.INCONCLUSIVE: 2,
    Verdict.ERROR: 3,
    Verdict.INTERRUPTED: 130,
}
EXIT_USAGE = 4
EXIT_EMPTY = 5

# An error hides what would have been seen, so it outranks a failure; a failure outranks doubt.
_SEVERITY = (Verdict.INTERRUPTED, Verdict.ERROR, Verdict.FAILED, Verdict.INCONCLUSIVE, Verdict.PASSED)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The most severe; of nothing: INCONCLUSIVE, for absence is never green."""
    found = set(verdicts)
    return next((v for v in _SEVERITY if v in found), Verdict.INCONCLUSIVE)


@dataclass(frozen=True, slots=True)
class GateResult:
    """One judged gate. `value`, `interval` and `limit` in the SLI's own unit (`unit`: "ratio", "s", "count").

    `needs` says how many more samples a confident claim would take (None when enough). `reason` is one
    sentence for people; `faults` names the faults in force.
    """

    name: str
    verdict: Verdict
    value: float | None
    interval: tuple[float, float] | None
    limit: float | None
    samples: int
    unit: str
    reason: str
    kind: str = "slo"
    slo: str | None = None
    needs: int | None = None
    line: int | None = None


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
