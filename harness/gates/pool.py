"""Results of the same gates in several runs, each judged by itself: one result for each, the worst."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from harness.gates.result import GateResult, worst


def pool_by_run(runs: Iterable[tuple[int, Sequence[GateResult]]]) -> list[GateResult]:
    """The results by name, in the order in which they come first. `runs`: each with its seed.

    The verdict is the worst of all runs: what one run violates is violated. The figure is that of the first run with
    that verdict; samples are those of all runs.
    """
    found: dict[str, list[tuple[int, GateResult]]] = {}
    for seed, results in runs:
        for result in results:
            found.setdefault(result.name, []).append((seed, result))
    return [_pool(results) for results in found.values()]


def _pool(results: Sequence[tuple[int, GateResult]]) -> GateResult:
    if len(results) == 1:
        return results[0][1]
    verdict = worst(result.verdict for _, result in results)
    same = [(seed, result) for seed, result in results if result.verdict is verdict]
    seed, first = same[0]
    return replace(
        first,
        reason=f"{verdict.value} in {len(same):,} of {len(results):,} runs; seed {seed}: {first.reason}",
        interval=None,
        samples=sum(result.samples for _, result in results),
        effective=None,
        unknown=sum(result.unknown for _, result in results),
        missing=sum(result.missing for _, result in results),
        bounded=None,
        needs=None,
    )
