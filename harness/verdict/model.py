"""The results of a run: of its faults, its arms, the experiment as a whole, and of several seeds. No I/O.

The fields are the keys of `verdict.json`, in this order.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.faults.exposure import Exposure
from harness.gates.result import GateResult, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultResult:
    """One fault as it happened. Times in seconds of the run; None: it did not happen."""

    name: str
    fault: str
    targets: tuple[str, ...]
    applied_at_s: float | None
    undone_at_s: float | None
    exposure: Exposure
    verdict: Verdict
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmResult:
    """One ablation arm: the gates it was judged by, and whether it did what it must (`breach` or `hold`).

    `line`: of the arm in its file.
    """

    name: str
    without: tuple[str, ...]
    must: str
    verdict: Verdict
    reason: str
    history_sha256: str
    gates: tuple[GateResult, ...]
    faults: tuple[FaultResult, ...]
    line: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentResult:
    """The result of one run. `run` is the run directory, `replay` the command that repeats it."""

    name: str
    title: str
    file: str
    verdict: Verdict
    reason: str
    seed: int
    run: str
    history_sha256: str
    replay: str
    without: tuple[str, ...] = ()
    gates: tuple[GateResult, ...]
    faults: tuple[FaultResult, ...]
    arms: tuple[ArmResult, ...] = ()
    steady_state: tuple[GateResult, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PooledResult:
    """The result of one experiment over several seeds. `runs`: the run directories, in the order of `seeds`.

    `confidence`: of each claim. `looks`: how many times the growing pool may be judged; the bounds of each gate are
    those that keep the confidence of all looks together. `replay`: the command that judges the runs again.
    """

    name: str
    title: str
    file: str
    verdict: Verdict
    reason: str
    seeds: tuple[int, ...]
    runs: tuple[str, ...]
    confidence: float
    looks: int
    replay: str
    without: tuple[str, ...] = ()
    gates: tuple[GateResult, ...]
    faults: tuple[FaultResult, ...]
    arms: tuple[ArmResult, ...] = ()
    steady_state: tuple[GateResult, ...] = ()
    notes: tuple[str, ...] = ()


type JudgedExperiment = ExperimentResult | PooledResult
"""Of one seed, or of several."""
