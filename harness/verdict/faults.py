"""Judging the faults: each was applied, was undone and affected traffic, or else nothing was tested."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from harness.faults.exposure import Exposure
from harness.gates.result import Verdict, worst
from harness.history.metadata import FaultRecord, RunMetadata, StopRecord
from harness.history.read import History
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
    elif record.applied_at_s is None and record.when is not None:
        verdict, reason = Verdict.INCONCLUSIVE, f"not applied: its event did not happen: {record.when}"
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


def judge_faults(histories: Sequence[History]) -> tuple[FaultResult, ...]:
    """Of one run, or of several with the same timeline: then each fault of it once.

    Its verdict is the worst of all runs: a run in which it affected nothing tests nothing. Effects are added up.
    """
    runs = [[judge_fault(one, run.metadata.stopped) for one in run.metadata.faults] for run in histories]
    if len(runs) == 1:
        return tuple(runs[0])
    found: dict[str, list[tuple[int, FaultResult]]] = {}
    for run, results in zip(histories, runs, strict=True):
        for result in results:
            found.setdefault(result.name, []).append((run.environment.seed, result))
    return tuple(_pool(results) for results in found.values())


def _pool(results: Sequence[tuple[int, FaultResult]]) -> FaultResult:
    verdict = worst(result.verdict for _, result in results)
    seed, first = next((seed, result) for seed, result in results if result.verdict is verdict)
    total = sum((result.exposure for _, result in results), Exposure())
    applied = [one.applied_at_s for _, one in results if one.applied_at_s is not None]
    undone = [one.undone_at_s for _, one in results if one.undone_at_s is not None]
    reason = f"applied and undone in {len(results):,} runs; it affected {exposure(total)}"
    return replace(
        first,
        targets=tuple(dict.fromkeys(target for _, one in results for target in one.targets)),
        applied_at_s=min(applied, default=None),
        undone_at_s=max(undone, default=None),
        exposure=total,
        reason=reason if verdict is Verdict.PASSED else f"with seed {seed}: {first.reason}",
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
