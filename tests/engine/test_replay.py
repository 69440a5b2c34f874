"""A run directory is enough to run it again, and to say whether that came to the same."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from harness.engine.events import EngineEvent, SuiteFinished
from harness.engine.judge import rejudge, write_verdict
from harness.engine.read import read_experiment
from harness.engine.replay import replay_run
from harness.engine.rundir import arm_directories
from harness.engine.suite import run_suite
from harness.errors import EXIT_ERROR, ExperimentError
from harness.history.metadata import HistoryError
from tests.engine.support import experiment_text, load, write


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("experiments")
    loaded = load(directory, experiment_text(load_for="18s", arrive="2/s"))
    finished = run_suite(loaded, seeds=[5], jobs=1, without=["gateway.retry"], reports=directory / "reports")
    # What becomes of the files does not matter any more.
    loaded[0].file.unlink()
    (directory / "slos.yaml").unlink()
    return Path(finished.results[0].run)


def test_a_replay_is_the_same_to_the_last_bit(run: Path, tmp_path: Path) -> None:
    replayed = replay_run(run, reports=tmp_path)
    assert replayed.identical
    assert replayed.differences == ()
    again = Path(replayed.result.run)
    assert again.parent.parent == tmp_path
    assert replayed.result.without == ("gateway.retry",)
    assert replayed.result.seed == 5
    assert rejudge(again).result.gates == rejudge(run).result.gates
    assert (again / "experiment.yaml").read_bytes() == (run / "experiment.yaml").read_bytes()


def test_latest_still_means_the_run_that_was_asked_for(run: Path, tmp_path: Path) -> None:
    suite = tmp_path / "original"
    shutil.copytree(run, suite / run.name)
    environment = suite / run.name / "environment.json"
    data = json.loads(environment.read_text(encoding="utf-8"))
    environment.write_text(json.dumps({**data, "history_sha256": "0" * 64}), encoding="utf-8")
    (tmp_path / "latest").symlink_to("original")
    replayed = replay_run(tmp_path / "latest" / run.name)
    assert replayed.differences == ("main",)


def test_a_replay_that_differs_says_where(run: Path, tmp_path: Path) -> None:
    (arm,) = arm_directories(["without gateway.retry, gateway.fallback"])
    file = run / arm / "environment.json"
    before = file.read_text(encoding="utf-8")
    events: list[EngineEvent] = []
    file.write_text(json.dumps({**json.loads(before), "history_sha256": "0" * 64}), encoding="utf-8")
    try:
        replayed = replay_run(run, [events.append], reports=tmp_path)
    finally:
        file.write_text(before, encoding="utf-8")
    assert not replayed.identical
    assert replayed.differences == ("without gateway.retry, gateway.fallback",)
    (end,) = [one for one in events if isinstance(one, SuiteFinished)]
    assert end.exit_code == EXIT_ERROR


def test_a_run_with_variables_is_replayed_with_their_values(tmp_path: Path) -> None:
    text = experiment_text(arms="", load_for="12s", arrive='"${rate}"').replace(
        "load:", "vars: {rate: 1/s}\nload:"
    )
    write(tmp_path, text)
    loaded = read_experiment(tmp_path / "0.chaos.yaml", variables={"rate": "4/s"})
    (result,) = run_suite([loaded], seeds=[1], jobs=1, reports=tmp_path / "reports").results
    assert "${" not in (Path(result.run) / "experiment.yaml").read_text(encoding="utf-8")
    assert replay_run(Path(result.run), reports=tmp_path / "again").identical
    assert rejudge(Path(result.run)).result.gates == result.gates
    with pytest.raises(ExperimentError) as raised:
        read_experiment(tmp_path / "0.chaos.yaml", variables={"rat": "4/s"})
    assert raised.value.diagnostics[0].hint == "did you mean 'rate'?"


def test_judging_again_writes_the_same_verdict(run: Path) -> None:
    before = (run / "verdict.json").read_bytes()
    write_verdict(run, rejudge(run).result)
    assert (run / "verdict.json").read_bytes() == before


def test_only_a_run_directory_can_be_replayed(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match="is not a run directory"):
        replay_run(tmp_path)


def test_arms_have_unique_directories_on_any_file_system() -> None:
    names = ["without a.b, c", "without a.b-c", "without a.b, c-2", "../..", "without playback.catalog_cache"]
    assert arm_directories(names) == (
        "arms/without-a.b-c-1",
        "arms/without-a.b-c-3",
        "arms/without-a.b-c-2",
        "arms/arm",
        "arms/without-playback.catalog_cache",
    )
