"""One verdict of several runs that differ in their seed only, besides the verdict of each. Pure but for reading.

What pools how: docs/verdicts.md, "Several seeds".
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from harness.gates.base import PooledRun
from harness.gates.invariant import judge_invariants
from harness.gates.judge import judge_pooled_gates
from harness.gates.pool import pool_by_run
from harness.gates.result import GateResult, Verdict
from harness.sli.statistics import CONFIDENCE
from harness.text import plural
from harness.verdict.arms import ArmRun, judge_arm
from harness.verdict.faults import judge_faults
from harness.verdict.judge import combine, gate_error, steady_state
from harness.verdict.model import ArmResult, ExperimentResult, JudgedExperiment, PooledResult
from harness.verdict.recorded import RecordedRun

BROKEN = (Verdict.ERROR, Verdict.INTERRUPTED)
"""The verdicts of runs whose rows do not count."""


def pool(
    results: Sequence[ExperimentResult],
    runs: Sequence[RecordedRun],
    *,
    confidence: float = CONFIDENCE,
    looks: int = 1,
) -> PooledResult:
    """The verdict of one experiment over its seeds.

    `results`: of each seed by itself; `runs`: the histories of those that did not break. `confidence`: of the verdict,
    and of each bound; with more than one of `looks`, of all looks together (`confidence_of_look`). Raises HistoryError.
    """
    each = confidence_of_look(confidence, looks)
    gates, steady = list[GateResult](), list[GateResult]()
    arms: tuple[ArmResult, ...] = ()
    faults = judge_faults([run.main for run in runs])
    if runs:
        experiment, slos = runs[0].experiment, runs[0].slos
        gates = judge_pooled_gates(
            experiment.gates,
            [PooledRun(run.main, run.control) for run in runs],
            slos,
            runs[0].gate_lines,
            each,
        )
        invariants = [(run.environment.seed, judge_invariants(run.main).results) for run in runs]
        gates += pool_by_run(invariants)
        steady = steady_state([run.main for run in runs], experiment, slos)
        arms = tuple(
            judge_arm(
                [ArmRun(arm, run.main) for arm, run in zip(same, runs, strict=True)], experiment, slos, each
            )
            for same in zip(*(run.arms for run in runs), strict=True)
        )
    verdict, reason = _verdict(results, runs, gates, steady) or combine(
        runs[0].experiment, gates, faults, steady, arms
    )
    return replace(
        unjudged_pool(results, confidence, looks),
        verdict=verdict,
        reason=reason,
        gates=tuple(gates),
        faults=faults,
        arms=arms,
        steady_state=tuple(steady),
        notes=(*_disagreements(results, verdict), *_missing_seeds(gates, len(results))),
    )


def unjudged_pool(results: Sequence[ExperimentResult], confidence: float, looks: int) -> PooledResult:
    """A pool that is not judged, as an error without a reason."""
    first = results[0]
    return PooledResult(
        name=first.name,
        title=first.title,
        file=first.file,
        verdict=Verdict.ERROR,
        reason="",
        seeds=tuple(result.seed for result in results),
        runs=tuple(result.run for result in results),
        confidence=confidence,
        looks=looks,
        replay=_judge_command(results, confidence_of_look(confidence, looks)),
        without=first.without,
        gates=(),
        faults=(),
    )


def counted_results(
    results: Sequence[ExperimentResult], pooled: Sequence[PooledResult]
) -> tuple[JudgedExperiment, ...]:
    """What the verdict of a suite is the worst of: pools, runs that are in none, and runs that failed or broke.

    A run that is inconclusive by itself is settled by the pool. A run that failed by itself counts, unless seeds were
    added until the pool was decided (`looks`): they are samples of one test, of which each may be wrong by itself.
    """
    looks = {(one.name, one.file): one.looks for one in pooled}

    def counts(result: ExperimentResult) -> bool:
        times = looks.get((result.name, result.file))
        failed = result.verdict is Verdict.FAILED and times == 1
        return times is None or result.verdict in BROKEN or failed

    return (*pooled, *filter(counts, results))


def confidence_of_look(confidence: float, looks: int) -> float:
    """The confidence of each of so many looks at growing data, so that all of them together have `confidence`.

    The probabilities of a wrong claim add up at most (Bonferroni, 1936), whatever depends on what and whenever one
    stops.
    """
    return 1 - (1 - confidence) / looks


def look_sizes(most: int) -> tuple[int, ...]:
    """After how many seeds to look: 1, 2, 4 and so on, and `most`. Few looks keep the price of each small."""
    sizes = [1]
    while sizes[-1] * 2 < most:
        sizes.append(sizes[-1] * 2)
    return (*sizes, most) if most > 1 else (1,)


def is_decided(result: PooledResult) -> bool:
    """Whether more seeds cannot settle more: nothing is undecided, or what is undecided stays so."""
    if result.verdict in BROKEN or any(fault.verdict is not Verdict.PASSED for fault in result.faults):
        return True
    verdicts = [gate.verdict for gate in result.gates] + [arm.verdict for arm in result.arms]
    return bool(verdicts) and Verdict.INCONCLUSIVE not in verdicts


def _verdict(
    results: Sequence[ExperimentResult],
    runs: Sequence[RecordedRun],
    gates: Sequence[GateResult],
    steady: Sequence[GateResult],
) -> tuple[Verdict, str] | None:
    """What outranks gates, faults and arms: a run that broke or was stopped, a gate that cannot be computed."""
    for verdict in (Verdict.INTERRUPTED, Verdict.ERROR):
        for result in results:
            if result.verdict is verdict:
                return verdict, f"seed {result.seed}: {result.reason}"
    if (error := gate_error(gates, steady)) is not None:
        return Verdict.ERROR, error
    for kind, verdict in (("abort", Verdict.FAILED), ("ill", Verdict.INCONCLUSIVE)):
        for run, result in zip(runs, results, strict=True):
            if run.metadata.stopped is not None and run.metadata.stopped.kind == kind:
                return verdict, f"seed {result.seed}: {result.reason}"
    return None


def _disagreements(results: Sequence[ExperimentResult], verdict: Verdict) -> tuple[str, ...]:
    """How many seeds have which other verdict by themselves."""
    notes = []
    for other in Verdict:
        seeds = [str(one.seed) for one in results if one.verdict is other is not verdict]
        if seeds:
            notes.append(
                f"{len(seeds):,} of {len(results):,} runs {'is' if len(seeds) == 1 else 'are'} {other.value} "
                f"by {'itself' if len(seeds) == 1 else 'themselves'}: seed {', '.join(seeds)}"
            )
    return tuple(notes)


def _missing_seeds(gates: Sequence[GateResult], seeds: int) -> Iterator[str]:
    """About how many more seeds each undecided gate takes."""
    for gate in gates:
        if gate.verdict is Verdict.INCONCLUSIVE and gate.needs is not None and gate.samples:
            more = math.ceil(gate.needs * seeds / gate.samples)
            yield f"{gate.name} is undecided after {plural(seeds, 'seed')}; about {plural(more, 'more seed')} would do"


def _judge_command(results: Sequence[ExperimentResult], confidence: float) -> str:
    """What judges the pool again; the shell finds the runs."""
    first = results[0]
    runs = first.run.removesuffix(str(first.seed)) + "*"
    return f"harness judge {runs}" + (
        "" if confidence == CONFIDENCE else f" --confidence {100 * confidence:.8g}%"
    )
