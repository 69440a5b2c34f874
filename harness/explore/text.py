"""What a search has found, for people and as a JSON document."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from harness.experiment.order import FIFO
from harness.explore.campaign import Result
from harness.explore.finding import command, necessity
from harness.explore.keep import Kept
from harness.gates.result import EXIT_CODES, Verdict
from harness.text import display_path, plural


def verdict_of(result: Result, kept: Sequence[Kept]) -> Verdict:
    """Failed with a finding; error where the search broke off; inconclusive where no fault had an effect, or no
    property had a row."""
    if result.interrupted:
        return Verdict.INTERRUPTED
    if result.broken is not None or any(one.file is None for one in kept):
        return Verdict.ERROR
    if kept:
        return Verdict.FAILED
    return Verdict.PASSED if result.effective and result.judged else Verdict.INCONCLUSIVE


def lines(result: Result, kept: Sequence[Kept]) -> Iterator[str]:
    """A block for each finding, then what was searched."""
    for number, one in enumerate(kept, 1):
        yield from _finding_lines(number, one)
        yield ""
    if result.broken is not None:
        yield f"The search broke off: {result.broken}"
    kinds = ", ".join(f"{name} {count}" for name, count in result.kinds.items())
    yield (
        f"{plural(result.trials, 'schedule')} in {result.elapsed_s:.1f} s "
        f"({result.trials / max(result.elapsed_s, 1e-9):.1f}/s), seed {result.seed}, "
        f"trials {result.first} to {result.first + result.trials - 1}"
    )
    yield f"In {result.effective:,} of them every fault affected traffic. Faults: {kinds or 'none'}"
    yield f"Judged: {', '.join(result.judged) or 'nothing: no property had a row'}"
    if not kept and result.broken is None and result.trials:
        # The rule of three: of n samples none is bad, so with 95 % confidence fewer than 3/n of all are.
        yield (
            f"None of these {result.trials:,} schedules violates anything: with 95 % confidence fewer than "
            f"{min(1.0, 3 / result.trials):.2%} of such schedules do."
        )


def _finding_lines(number: int, one: Kept) -> Iterator[str]:
    finding, shrunk = one.finding, one.finding.shrunk
    yield f"Finding {number}: {finding.violation.name}"
    yield f"  why       {finding.violation.reason}"
    if not shrunk.schedule:
        yield "  faults    none: it is violated without a fault"
    for index, (fault, needed) in enumerate(necessity(finding)):
        yield f"  {'faults' if not index else '':<9} {fault} ({needed})"
    load = ", ".join(f"{load.expected_clients:.0f} {name}" for name, load in shrunk.subject.load.items())
    yield (
        f"  shrunk    from {plural(len(finding.first), 'fault')} to {len(shrunk.schedule)} in "
        f"{plural(shrunk.runs, 'run')}, {load}; seen in {plural(finding.found, 'trial')}, first in {finding.trial}"
    )
    if shrunk.subject.order != FIFO:
        yield f"  order     {shrunk.subject.order}: with asyncio's own order of ready tasks it holds"
    if one.file is None:
        yield f"  not kept  {one.problem}"
        return
    file = display_path(one.file)
    yield f"  {'kept' if one.is_new else 'known':<9} {file}"
    yield f"  replay    {command(finding, file)}"


def document(result: Result, kept: Sequence[Kept]) -> dict[str, Any]:
    """For `--json`."""
    verdict = verdict_of(result, kept)
    return {
        "verdict": verdict.value,
        "exit_code": EXIT_CODES[verdict],
        "seed": result.seed,
        "first": result.first,
        "trials": result.trials,
        "effective": result.effective,
        "judged": list(result.judged),
        "elapsed_s": round(result.elapsed_s, 3),
        "broken": result.broken,
        "faults": result.kinds,
        "findings": [
            {
                "kind": one.finding.violation.kind,
                "property": one.finding.violation.key,
                "reason": one.finding.violation.reason,
                "seed": one.finding.seed,
                "trial": one.finding.trial,
                "found": one.finding.found,
                "runs": one.finding.shrunk.runs,
                "minimal": one.finding.shrunk.minimal,
                "order": one.finding.shrunk.subject.order,
                "faults": [fault.entry for fault in one.finding.shrunk.schedule],
                "file": None if one.file is None else display_path(one.file),
                "problem": one.problem,
            }
            for one in kept
        ],
    }
