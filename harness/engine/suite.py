"""Many (experiment, seed) pairs, in this process or in several; the results do not depend on which."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.engine.events import EngineEvent, Handler, RunFinished, SuiteFinished, SuiteStarted
from harness.engine.experiment import Finish, run_experiment
from harness.engine.load import Loaded, load_experiments
from harness.engine.plan import plan
from harness.engine.rundir import new_suite_directory, run_directory
from harness.runtimes.base import Runtime
from harness.verdict.model import EXIT_CODES, EXIT_EMPTY, ExperimentResult, Verdict, worst


@dataclass(frozen=True, slots=True)
class Job:
    """What a worker needs; it loads the experiment again by its file."""

    index: int
    file: Path
    seed: int
    without: tuple[str, ...]
    suite: Path
    finish: Finish | None


def sim_runtime() -> Runtime:
    from harness.runtimes.sim.runtime import SimRuntime

    return SimRuntime()


def run_suite(
    loaded: Sequence[Loaded],
    *,
    seeds: Sequence[int],
    jobs: int,
    without: Sequence[str] = (),
    reports: Path,
    handlers: Sequence[Handler] = (),
    finish: Finish | None = None,
) -> SuiteFinished:
    """Run every experiment with every seed. Raises UsageError before anything starts.

    Results come in the order of the experiments and seeds, whatever finished first.
    """
    began = time.perf_counter()
    for item in loaded:
        plan(item, seeds[0], without)
    suite = new_suite_directory(reports)
    work = [
        Job(index, item.file, seed, tuple(without), suite, finish)
        for index, (item, seed) in enumerate((item, seed) for item in loaded for seed in seeds)
    ]
    by_file = {item.file: item for item in loaded}
    jobs = max(1, min(jobs, len(work)))

    def emit(event: EngineEvent) -> None:
        for handler in handlers:
            handler(event)

    names = tuple(item.experiment.experiment for item in loaded)
    emit(SuiteStarted(names, tuple(seeds), jobs, str(suite)))
    results: dict[int, ExperimentResult] = {}
    interrupted = False
    try:
        runner = _inline(work, by_file, emit) if jobs == 1 else _pooled(work, by_file, jobs, emit)
        for index, result in runner:
            results[index] = result
    except KeyboardInterrupt:
        interrupted = True
    ordered = tuple(results[index] for index in sorted(results))
    verdict = Verdict.INTERRUPTED if interrupted else worst(result.verdict for result in ordered)
    exit_code = EXIT_CODES[verdict] if ordered or interrupted else EXIT_EMPTY
    finished = SuiteFinished(ordered, verdict, exit_code, time.perf_counter() - began, str(suite))
    emit(finished)
    return finished


type _Results = Iterator[tuple[int, ExperimentResult]]


def _inline(work: Sequence[Job], loaded: dict[Path, Loaded], emit: Handler) -> _Results:
    runtime = sim_runtime()
    for job in work:
        yield (
            job.index,
            run_experiment(
                loaded[job.file],
                runtime,
                job.suite,
                seed=job.seed,
                without=job.without,
                emit=emit,
                finish=job.finish,
            ),
        )


def _cost(job: Job, loaded: dict[Path, Loaded]) -> float:
    """Roughly how much work: clients times arms."""
    experiment = loaded[job.file].experiment
    clients = sum(load.arrive * load.for_ for load in experiment.load.values())
    return clients * (1 + len(experiment.arms))


def _pooled(work: Sequence[Job], loaded: dict[Path, Loaded], jobs: int, emit: Handler) -> _Results:
    """In processes of their own, the longest first. A worker that dies costs its runs a verdict, not a word."""
    context = multiprocessing.get_context("spawn")
    events: Any = context.Queue()
    lock = threading.Lock()

    def tell(event: EngineEvent) -> None:
        with lock:
            emit(event)

    def listen() -> None:
        while (event := events.get()) is not None:
            tell(event)

    listener = threading.Thread(target=listen, name="harness-events", daemon=True)
    listener.start()
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_begin_worker, initargs=(events,))
    todo = sorted(work, key=lambda job: -_cost(job, loaded))
    try:
        futures: dict[Future[ExperimentResult], Job] = {pool.submit(_work, job): job for job in todo}
        waiting = set(futures)
        while waiting:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in sorted(done, key=lambda f: futures[f].index):
                job = futures[future]
                try:
                    yield job.index, future.result()
                except BrokenProcessPool as error:
                    result = _lost(job, loaded[job.file], error)
                    tell(RunFinished(result, 0.0))
                    yield job.index, result
    except BaseException:
        # Nothing of a simulation is outside its process: there is nothing to undo.
        for process in list((getattr(pool, "_processes", None) or {}).values()):
            process.terminate()
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    else:
        pool.shutdown()
    finally:
        with contextlib.suppress(ValueError, OSError):
            events.put(None)
        listener.join(timeout=5)


_events: Any = None


def _begin_worker(events: Any) -> None:
    """In a worker: its events go to the parent, and Ctrl-C is the parent's business."""
    global _events  # noqa: PLW0603 (a process pool has no other way to hand something to its workers)
    _events = events
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _work(job: Job) -> ExperimentResult:
    (loaded,) = load_experiments([job.file])
    return run_experiment(
        loaded,
        sim_runtime(),
        job.suite,
        seed=job.seed,
        without=job.without,
        emit=_events.put,
        finish=job.finish,
    )


def _lost(job: Job, loaded: Loaded, error: BaseException) -> ExperimentResult:
    run = run_directory(job.suite, loaded.experiment.experiment, job.seed)
    return ExperimentResult(
        name=loaded.experiment.experiment,
        title=loaded.experiment.title,
        file=loaded.shown,
        verdict=Verdict.ERROR,
        reason=f"its worker process died: {error}",
        seed=job.seed,
        run=str(run),
        history_sha256="",
        replay=f"harness run {loaded.shown} --seed {job.seed} --jobs 1",
        gates=(),
        faults=(),
        without=job.without,
    )
