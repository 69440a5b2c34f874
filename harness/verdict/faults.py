"""Judging the faults: each was applied, was undone and affected traffic, or else nothing was tested."""

from __future__ import annotations

from collections.abc import Iterable

from harness.gates.result import Verdict
from harness.history.metadata import FaultRecord, RunMetadata, StopRecord
from harness.sli.formatting import effects, exposure
from harness.verdict.model import FaultResult

NEVER_APPLIED = "it was never applied"


def judge_fault(record: FaultRecord, stopped: StopRecord | None = None) -> FaultResult:
    """`stopped`: why the run ended early. A fault that was to come later is no error then."""
    verdict, reason = Verdict.PASSED, f"applied and undone; it affected {exposure(record.exposure)}"
    if record.error is not None:
        verdict, reason = Verdict.ERROR, record.error
    elif record.applied_at_s is None and stopped is not None:
        verdict, reason = Verdict.INCONCLUSIVE, f"not applied: the run was stopped at {stopped.at_s:.1f} s"
    elif record.applied_at_s is None:
        verdict, reason = Verdict.ERROR, NEVER_APPLIED
    elif record.undone_at_s is None and record.for_s > 0:
        verdict, reason = Verdict.ERROR, "it was applied and not undone"
    elif not record.exposure.touched:
        verdict, reason = Verdict.INCONCLUSIVE, _no_effect(record)
    return FaultResult(
        name=record.name,
        fault=record.fault,
        targets=record.targets,
        applied_at_s=record.applied_at_s,
        undone_at_s=record.undone_at_s,
        exposure=record.exposure,
        verdict=verdict,
        reason=reason,
    )


def _no_effect(record: FaultRecord) -> str:
    if record.exposure.background.any:
        return (
            "it affected no traffic that clients caused, so nothing was tested; of what services do by themselves it "
            f"affected {effects(record.exposure.background)}"
        )
    return "it affected no traffic noticeably, so nothing was tested"


def what_broke(metadata: RunMetadata, faults: Iterable[FaultResult]) -> str | None:
    """Why a run proves nothing: a fault, the harness or a service broke. None when nothing did."""
    broken = [fault for fault in faults if fault.verdict is Verdict.ERROR]
    # A fault that was not applied is mostly the consequence of something else that broke.
    broken.sort(key=lambda fault: fault.reason == NEVER_APPLIED)
    if broken and not (broken[0].reason == NEVER_APPLIED and metadata.failures):
        return f"fault {broken[0].name}: {broken[0].reason}"
    if metadata.failures:
        more = len(metadata.failures) - 1
        return metadata.failures[0] + (f" (and {more} more)" if more else "")
    return None
