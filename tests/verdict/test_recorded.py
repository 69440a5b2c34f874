"""The one reader of a run directory."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.engine.judge import judge_run
from harness.experiment.parse import parse_draft, parse_slos
from harness.history.metadata import HistoryError
from harness.verdict import recorded
from harness.verdict.recorded import RecordedRun
from tests.cli.support import BACKEND_LOST, call, write_suite

ARM = "without gateway.retry, gateway.fallback"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A run, and which files were parsed while it was judged and reported."""
    directory = tmp_path_factory.mktemp("recorded")
    parsed: list[str] = []

    def counting(parse: Any) -> Any:
        def parse_and_count(text: str, file: str, *kinds: Any) -> Any:
            parsed.append(Path(file).name)
            return parse(text, file, *kinds)

        return parse_and_count

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recorded, "parse_draft", counting(parse_draft))
        patch.setattr(recorded, "parse_slos", counting(parse_slos))
        suite = write_suite(directory, backend_lost=BACKEND_LOST)
        assert call("run", suite, "--jobs", 1, "--reports", directory / "reports").code == 0
    return (directory / "reports" / "latest" / "backend-lost.seed1").resolve(), parsed


@pytest.fixture
def run(made: tuple[Path, list[str]]) -> Iterator[RecordedRun]:
    with RecordedRun(made[0]) as opened:
        yield opened


def test_a_run_is_parsed_once_for_its_verdict_and_its_page(made: tuple[Path, list[str]]) -> None:
    assert (made[0] / "report.html").is_file()
    assert sorted(made[1]) == ["backend-lost.chaos.yaml", "slos.yaml"]


def test_what_is_recorded_is_there(run: RecordedRun) -> None:
    assert (run.environment.experiment, run.environment.seed, run.environment.arm) == (
        "backend-lost",
        1,
        "main",
    )
    assert run.experiment.experiment == "backend-lost"
    assert set(run.slos) == {"answered", "quick"}
    assert run.gate_lines == (10, 11, 12)
    assert run.load_end_s == 12.0
    assert [fault.name for fault in run.metadata.faults] == ["crash"]
    assert run.main.query("SELECT count(*) > 30 FROM visits") == [(True,)]
    assert [(arm.name, arm.arm.must) for arm in run.arms] == [(ARM, "breach")]
    assert run.arms[0].history.metadata.without == ("gateway.fallback", "gateway.retry")
    assert list(run.history_hashes) == ["main", ARM]
    assert run.alterations == ()
    assert judge_run(run).verdict == "passed"


@pytest.mark.parametrize("broken", ["experiment: [", "experiment: backend-lost\n"])
def test_an_experiment_that_was_changed_is_named(
    made: tuple[Path, list[str]], tmp_path: Path, broken: str
) -> None:
    copy = shutil.copytree(made[0], tmp_path / "run")
    (copy / "experiment.yaml").write_text(broken, encoding="utf-8")
    with RecordedRun(copy) as run:
        assert run.alterations == ("experiment.yaml was changed",)
        with pytest.raises(HistoryError, match=r"experiment\.yaml was changed since it was recorded"):
            assert run.experiment


def test_a_directory_without_a_run_says_where_one_is(made: tuple[Path, list[str]]) -> None:
    with pytest.raises(HistoryError, match=r"backend-lost\.seed1"):
        RecordedRun(made[0].parent)
