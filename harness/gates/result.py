"""Verdicts and the result of one gate: what they are and how they combine. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from harness.errors import EXIT_ERROR, EXIT_FAILED, EXIT_INCONCLUSIVE, EXIT_INTERRUPTED, EXIT_PASSED


class Verdict(StrEnum):
    """What a run, a gate, a fault or an arm ended with."""

    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"
    ERROR = "error"
    INTERRUPTED = "interrupted"


EXIT_CODES = {
    Verdict.PASSED: EXIT_PASSED,
    Verdict.FAILED: EXIT_FAILED,
    Verdict.INCONCLUSIVE: EXIT_INCONCLUSIVE,
    Verdict.ERROR: EXIT_ERROR,
    Verdict.INTERRUPTED: EXIT_INTERRUPTED,
}
"""The exit code of each verdict."""

# An error hides what would have been seen, so it outranks a failure; a failure outranks doubt.
_SEVERITY = (Verdict.INTERRUPTED, Verdict.ERROR, Verdict.FAILED, Verdict.INCONCLUSIVE, Verdict.PASSED)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The most severe; of nothing: INCONCLUSIVE, for absence is never green."""
    found = set(verdicts)
    return next((v for v in _SEVERITY if v in found), Verdict.INCONCLUSIVE)


@dataclass(frozen=True, slots=True, kw_only=True)
class GateResult:
    """The result of one gate. The fields are keys of `verdict.json`, in this order.

    `value`, `interval`, `threshold`: in `unit` ("ratio", "share", "s", "bps", "bytes", "count").
    `interval`: two one-sided bounds: at 95 % each, so that its `confidence` is 0.9; pooled verdicts may state another.
    `effective`: as many independent samples carry the same evidence; None where that is not asked.
    `unknown`: how many of the samples are not known (null, NaN, no moment); they are counted as bad.
    `missing`: clients that may have had one sample more; `bounded`: the value when all of these are bad.
    `needs`: how many more samples like them claim it with a probability of 95 %; None when it is decided, or no number
    helps.
    `line`: of the gate in its file. `reason`: one sentence for people.
    """

    name: str
    kind: str = "slo"
    slo: str | None = None
    verdict: Verdict
    reason: str
    value: float | None
    interval: tuple[float, float] | None
    threshold: float | None
    unit: str
    samples: int
    effective: float | None = None
    unknown: int = 0
    missing: int = 0
    bounded: float | None = None
    needs: int | None = None
    confidence: float | None = None
    line: int | None = None


def no_samples(
    name: str,
    *,
    threshold: float | None = None,
    unit: str = "",
    slo: str | None = None,
    samples: int = 0,
    missing: int = 0,
    reason: str = "no samples",
) -> GateResult:
    """Inconclusive: there is nothing to judge."""
    return GateResult(
        name=name,
        slo=slo,
        verdict=Verdict.INCONCLUSIVE,
        reason=reason,
        value=None,
        interval=None,
        threshold=threshold,
        unit=unit,
        samples=samples,
        missing=missing,
    )


def not_computable(name: str, reason: object, *, slo: str | None = None) -> GateResult:
    """An error: the gate cannot be computed, because of `reason`."""
    return GateResult(
        name=name,
        slo=slo,
        verdict=Verdict.ERROR,
        reason=f"cannot be computed: {reason}",
        value=None,
        interval=None,
        threshold=None,
        unit="",
        samples=0,
    )
