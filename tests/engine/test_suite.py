"""Whole suites of toy experiments: the same whoever runs them, and nothing lost whatever breaks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.diagnostics import Code
from harness.engine.events import (
    EngineEvent,
    FaultChanged,
    RunFinished,
    RunJudged,
    RunStarted,
    SuiteFinished,
    SuiteStarted,
)
from harness.engine.judge import rejudge
from harness.engine.plan import make_plan
from harness.engine.read import read_experiment
from harness.engine.suite import run, run_suite
from harness.errors import EXIT_EMPTY, UsageError
from harness.gates.result import Verdict
from harness.verdict.model import ExperimentResult
from tests.engine.support import experiment_text, load, of_type, write

QUICK = {"timeline": "", "arms": "", "arrive": "6/s", "load_for": "8s"}


def hashes(results: tuple[ExperimentResult, ...]) -> list[tuple[str, int, str, tuple[str, ...]]]:
    return [(r.name, r.seed, r.history_sha256, tuple(arm.history_sha256 for arm in r.arms)) for r in results]


def test_results_do_not_depend_on_jobs_and_come_in_order(tmp_path: Path) -> None:
    loaded = load(
        tmp_path,
        experiment_text("small", **QUICK),
        experiment_text("backend-lost"),
    )
    events: list[EngineEvent] = []
    one = run_suite(loaded, seeds=[1, 4], jobs=1, reports=tmp_path / "one")
    two = run_suite(loaded, seeds=[1, 4], jobs=2, reports=tmp_path / "two", handlers=[events.append])
    assert [(r.name, r.seed) for r in two.results] == [
        ("small", 1),
        ("small", 4),
        ("backend-lost", 1),
        ("backend-lost", 4),
    ]
    assert hashes(one.results) == hashes(two.results)
    assert len({sha256 for _, _, sha256, _ in hashes(one.results)}) == 4
    assert one.verdict is two.verdict is Verdict.PASSED
    assert one.exit_code == 0
    assert isinstance(events[0], SuiteStarted)
    assert isinstance(events[-1], SuiteFinished)
    assert len(of_type(events, RunStarted)) == len(of_type(events, RunFinished)) == 4
    for started in of_type(events, RunStarted):
        key = (started.experiment, started.seed)
        mine = [
            e
            for e in events
            if (getattr(e, "experiment", None), getattr(e, "seed", None)) == key
            or (isinstance(e, RunFinished) and (e.result.name, e.result.seed) == key)
        ]
        assert mine[0] is started
        assert isinstance(mine[-1], RunFinished)


def test_a_run_directory_holds_all_there_is_to_know(tmp_path: Path) -> None:
    seen: list[tuple[Path, Verdict]] = []

    def finish(event: RunJudged) -> None:
        directory, result = event.run.directory, event.result
        assert (directory / "verdict.json").is_file()
        (directory / "report.html").write_text(result.reason, encoding="utf-8")
        seen.append((directory, result.verdict))

    finished = run_suite(
        load(tmp_path, experiment_text()), seeds=[7], jobs=1, reports=tmp_path / "reports", finish=finish
    )
    (result,) = finished.results
    assert result.verdict is Verdict.PASSED, result.reason
    run = Path(finished.reports) / "backend-lost.seed7"
    assert Path(result.run) == run
    assert result.replay == f"harness replay {run.as_posix()}"
    arm = run / "arms" / "without-gateway.retry-gateway.fallback"
    for directory in (run, arm):
        assert {file.name for file in directory.iterdir() if file.is_file()} >= {
            "experiment.yaml",
            "slos.yaml",
            "environment.json",
            "metadata.json",
            "visits.parquet",
            "events.parquet",
        }
    assert (run / "report.html").read_text(encoding="utf-8") == result.reason
    environment = json.loads((run / "environment.json").read_text(encoding="utf-8"))
    assert environment["seed"] == 7
    assert environment["targets"] == {"crash": ["backend-east"]}
    assert environment["history_sha256"] == result.history_sha256
    assert [path.name for path in Path(finished.reports).iterdir()] == ["backend-lost.seed7"]
    assert (tmp_path / "reports" / "latest").resolve() == Path(finished.reports).resolve()
    assert rejudge(run).result == result
    assert seen[0][1] is Verdict.PASSED


def test_without_its_safeguard_the_suite_fails_and_says_how_to_see_it_again(tmp_path: Path) -> None:
    loaded = load(tmp_path, experiment_text(arms=""))
    finished = run_suite(
        loaded, seeds=[1], jobs=1, without=["gateway.retry", "gateway.fallback"], reports=tmp_path / "reports"
    )
    (result,) = finished.results
    assert (finished.verdict, finished.exit_code) == (Verdict.FAILED, 1)
    assert "success" in result.reason
    assert "crash" in result.reason
    assert result.without == ("gateway.fallback", "gateway.retry")
    assert result.replay.startswith("harness replay ")


def test_an_arm_that_would_be_the_same_run_is_not_run_again(tmp_path: Path) -> None:
    (loaded,) = load(tmp_path, experiment_text())
    off = ["gateway.retry", "gateway.fallback"]
    assert [arm.name for arm in make_plan(loaded, 1).arms[1:]] == [f"without {', '.join(off)}"]
    assert make_plan(loaded, 1, off).arms[1:] == ()
    (result,) = run_suite([loaded], seeds=[1], jobs=1, without=off, reports=tmp_path / "reports").results
    assert (result.arms, result.verdict) == ((), Verdict.FAILED)


def test_a_fault_that_touches_nothing_is_no_pass(tmp_path: Path) -> None:
    # All clients are in the zones; nothing ever flows from a backend to a backend.
    timeline = "- {at: 6s, for: 4s, fault: partition, target: {link: {from: backend, to: backend}}}"
    finished = run_suite(
        load(tmp_path, experiment_text(timeline=timeline, arms="", load_for="12s")),
        seeds=[1],
        jobs=1,
        reports=tmp_path / "reports",
    )
    (result,) = finished.results
    assert (result.verdict, finished.exit_code) == (Verdict.INCONCLUSIVE, 2)
    assert "affected no traffic" in result.reason


def test_a_fault_that_cannot_be_applied_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_: object) -> object:
        raise PermissionError("not allowed here")

    monkeypatch.setattr("harness.faults.crash.Crash.apply", refuse)
    finished = run_suite(
        load(tmp_path, experiment_text(arms="")), seeds=[1], jobs=1, reports=tmp_path / "reports"
    )
    assert (finished.verdict, finished.exit_code) == (Verdict.ERROR, 3)
    assert "not allowed here" in finished.results[0].reason


def test_nothing_selected_is_not_green(tmp_path: Path) -> None:
    finished = run_suite([], seeds=[1], jobs=2, reports=tmp_path / "reports")
    assert finished.exit_code == EXIT_EMPTY
    assert finished.verdict is not Verdict.PASSED


def test_one_experiment_is_read_and_run_in_two_lines(tmp_path: Path) -> None:
    (file,) = write(tmp_path, experiment_text("alone", **QUICK))
    events: list[EngineEvent] = []
    result = run(read_experiment(file), seed=3, reports=tmp_path / "reports", handlers=[events.append])
    assert (result.name, result.seed, result.verdict) == ("alone", 3, Verdict.PASSED)
    assert (Path(result.run) / "verdict.json").is_file()
    assert isinstance(events[-1], SuiteFinished)


def test_every_usage_error_is_reported_before_anything_runs(tmp_path: Path) -> None:
    loaded = load(tmp_path, experiment_text("one"), experiment_text("two"))
    with pytest.raises(UsageError) as raised:
        run_suite(loaded, seeds=[1], jobs=1, without=["gateway.retri"], reports=tmp_path / "reports")
    assert [(one.code, Path(one.file).name) for one in raised.value.diagnostics] == [
        (Code.UNKNOWN_NAME, "0.chaos.yaml"),
        (Code.UNKNOWN_NAME, "1.chaos.yaml"),
    ]
    with pytest.raises(UsageError, match="no seed"):
        run_suite(loaded, seeds=[], jobs=1, reports=tmp_path / "reports")
    assert not (tmp_path / "reports").exists()


def finish_badly(event: RunJudged) -> None:
    if event.result.name == "bad":
        raise OSError("disk full")


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_report_that_cannot_be_written_is_an_error_of_its_run_alone(tmp_path: Path, jobs: int) -> None:
    loaded = load(tmp_path, experiment_text("bad", **QUICK), experiment_text("good", **QUICK))
    finished = run_suite(loaded, seeds=[1], jobs=jobs, reports=tmp_path / "reports", finish=finish_badly)
    bad, good = finished.results
    assert bad.verdict is Verdict.ERROR
    assert "OSError: disk full (tests/engine/test_suite.py:" in bad.reason
    assert bad.reason.endswith("(judged passed)")
    assert good.verdict is Verdict.PASSED
    assert finished.exit_code == 3
    assert (Path(bad.run) / "metadata.json").is_file()


def die(event: RunJudged) -> None:
    if event.result.name == "bad":
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_dies_is_an_error_of_its_run_alone(tmp_path: Path) -> None:
    texts = [experiment_text(name, **QUICK) for name in ("bad", "good", "better")]
    finished = run_suite(load(tmp_path, *texts), seeds=[1], jobs=2, reports=tmp_path / "reports", finish=die)
    assert [r.verdict for r in finished.results] == [Verdict.ERROR, Verdict.PASSED, Verdict.PASSED]
    assert "its worker process died: killed by SIGKILL" in finished.results[0].reason
    assert finished.results[0].replay == f"harness run {tmp_path.as_posix()}/0.chaos.yaml --seed 1"
    assert finished.exit_code == 3


def test_a_broken_handler_disturbs_no_other_and_is_raised_at_the_end(tmp_path: Path) -> None:
    heard: list[EngineEvent] = []

    def broken(event: EngineEvent) -> None:
        raise BrokenPipeError("nobody reads")

    loaded = load(tmp_path, experiment_text("one", **QUICK))
    with pytest.raises(BrokenPipeError):
        run_suite(loaded, seeds=[1], jobs=1, reports=tmp_path / "reports", handlers=[broken, heard.append])
    assert isinstance(heard[-1], SuiteFinished)
    assert heard[-1].verdict is Verdict.PASSED


@pytest.fixture
def _ctrl_c() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_ctrl_c")
@pytest.mark.parametrize("jobs", [1, 2])
def test_an_interrupt_ends_everything_and_names_what_was_not_finished(tmp_path: Path, jobs: int) -> None:
    texts = [experiment_text(name, arms="", load_for="60s") for name in ("one", "two", "three")]
    events: list[EngineEvent] = []

    def interrupt(event: EngineEvent) -> None:
        events.append(event)
        if (
            isinstance(event, FaultChanged)
            and event.change == "applied"
            and len(of_type(events, FaultChanged)) == 1
        ):
            os.kill(os.getpid(), signal.SIGINT)

    finished = run_suite(
        load(tmp_path, *texts), seeds=[1], jobs=jobs, reports=tmp_path / "reports", handlers=[interrupt]
    )
    assert (finished.verdict, finished.exit_code) == (Verdict.INTERRUPTED, 130)
    assert [(r.name, r.verdict) for r in finished.results] == [
        (name, Verdict.INTERRUPTED) for name in ("one", "two", "three")
    ]
    changes = [event.change for event in of_type(events, FaultChanged)]
    assert changes.count("undone") == changes.count("applied")
    assert any("every fault in force was undone first" in r.reason for r in finished.results)
    assert finished.results[-1].reason == "interrupted before it began"
    assert list(Path(finished.reports).iterdir()) == []


@pytest.mark.usefixtures("_ctrl_c")
def test_what_an_interrupted_run_had_written_is_taken_away(tmp_path: Path) -> None:
    def interrupt(event: EngineEvent) -> None:
        if isinstance(event, FaultChanged) and event.arm != "main" and event.change == "applied":
            os.kill(os.getpid(), signal.SIGINT)

    loaded = load(tmp_path, experiment_text(load_for="18s"))
    finished = run_suite(loaded, seeds=[1], jobs=1, reports=tmp_path / "reports", handlers=[interrupt])
    assert "of arm without gateway.retry, gateway.fallback" in finished.results[0].reason
    assert list(Path(finished.reports).iterdir()) == []


SCRIPT = """
import sys
from pathlib import Path
from harness.engine.read import read_experiments
from harness.diagnostics import Code
from harness.engine.read import read_experiment
from harness.engine.suite import run, run_suite
finished = run_suite(read_experiments([Path(sys.argv[1])]), seeds=[3], jobs=1, reports=Path(sys.argv[2]))
print([(r.history_sha256, [a.history_sha256 for a in r.arms]) for r in finished.results])
"""


def test_histories_do_not_depend_on_the_hash_seed(tmp_path: Path) -> None:
    (file,) = write(tmp_path, experiment_text())
    outputs = []
    for hash_seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(file), str(tmp_path / hash_seed)],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        outputs.append(done.stdout)
    assert outputs[0] == outputs[1]
    assert len(outputs[0]) > 128
