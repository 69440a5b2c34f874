"""The same experiments in virtual time and live: both are run, then compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from harness.engine.events import SuiteFinished
from harness.engine.read import ReadyExperiment, unsupported
from harness.engine.rundir import suite_stamp
from harness.engine.suite import run_suite
from harness.errors import UsageError
from harness.gates.result import Verdict
from harness.live.options import LiveOptions
from harness.parity.measure import compare_runs
from harness.parity.model import ParityResult
from harness.report.registry import Reporters
from harness.runtime.options import RuntimeOptions
from harness.sim.options import SimOptions

type OpenReporters = Callable[[str], AbstractContextManager[Reporters]]
"""Given `live` or `sim`: the reporters of that half, for as long as it runs."""


def run_parity(
    loaded: Sequence[ReadyExperiment],
    *,
    seeds: Sequence[int],
    reports: Path,
    jobs: int,
    live_jobs: int,
    open_reporters: OpenReporters,
    live: LiveOptions = LiveOptions(),  # noqa: B008 (immutable)
) -> ParityResult:
    """Run everything twice, live and in virtual time, each as a suite of its own below one directory.

    Live first: it is the half that may be refused. Experiments that virtual time cannot run are left out, and named
    in the result. Raises UsageError before anything starts, also when none is left.
    """
    capabilities = SimOptions().capabilities()
    lacks = {item.display_path: unsupported(item, capabilities) for item in loaded}
    left_out = tuple(str(lack) for found in lacks.values() for lack in found)
    loaded = [item for item in loaded if not lacks[item.display_path]]
    if not loaded:
        raise UsageError(left_out)
    directory = _new_directory(reports)

    def run_half(runtime: RuntimeOptions, jobs: int) -> SuiteFinished:
        with open_reporters(runtime.name) as reporters:
            return run_suite(
                loaded,
                seeds=seeds,
                jobs=jobs,
                reports=directory / runtime.name,
                handlers=reporters.handlers,
                finish=reporters.finish,
                runtime=runtime,
            )

    real = run_half(live, live_jobs)
    if real.verdict is Verdict.INTERRUPTED:
        return ParityResult(directory, (), interrupted=True, left_out=left_out)
    virtual = run_half(SimOptions(), jobs)
    if virtual.verdict is Verdict.INTERRUPTED:
        return ParityResult(directory, (), interrupted=True, left_out=left_out)
    systems = [item.system for item in loaded for _ in seeds]
    experiments = (
        compare_runs(sim, other, system.parity_metrics)
        for sim, other, system in zip(virtual.results, real.results, systems, strict=True)
    )
    return ParityResult(directory, tuple(experiments), left_out=left_out)


def _new_directory(reports: Path) -> Path:
    """A path that does not exist yet. It is not made here: nothing is written for what is refused."""
    stamp = suite_stamp()
    names = [f"parity-{stamp}", *(f"parity-{stamp}-{n}" for n in range(2, 1000))]
    return next(reports / name for name in names if not (reports / name).exists())
