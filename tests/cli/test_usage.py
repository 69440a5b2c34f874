"""What a person gets wrong: a plain message on stderr, the right exit code, never a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cli import main
from tests.cli.support import BACKEND_LOST, BROKEN, LIVE_ONLY, Called, call, write_suite


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    return write_suite(tmp_path, backend_lost=BACKEND_LOST)


def assert_plain(called: Called, code: int) -> None:
    assert called.code == code
    assert "Traceback" not in called.err
    assert called.out == ""


def test_an_unknown_path_names_the_nearest_one(suite: Path) -> None:
    called = call("run", suite.parent / "experimentz")
    assert_plain(called, 4)
    assert "no such file or directory" in called.err
    assert "did you mean" in called.err
    assert "experiments?" in called.err


def test_all_unknown_paths_at_once(tmp_path: Path) -> None:
    called = call("validate", tmp_path / "one", tmp_path / "two")
    assert_plain(called, 4)
    assert len(called.err.splitlines()) == 2


@pytest.mark.parametrize("command", ["run", "validate", "plan", "list"])
def test_an_empty_selection_is_never_green(command: str, tmp_path: Path) -> None:
    (tmp_path / "notes.yaml").write_text("a: 1\n", encoding="utf-8")
    called = call(command, tmp_path)
    assert_plain(called, 5)
    assert "found no *.chaos.yaml" in called.err


@pytest.mark.parametrize("suffix", [".chaos.yml", ".Chaos.yaml", ".CHAOS.YAML", ".CHAOS.YML"])
@pytest.mark.parametrize("command", ["validate", "plan", "list", "parity"])
def test_a_variant_of_the_suffix_is_found_in_a_directory(command: str, suffix: str, tmp_path: Path) -> None:
    suite = write_suite(tmp_path, backend_lost=BACKEND_LOST)
    (suite / f"other{suffix}").write_text(BROKEN, encoding="utf-8")
    called = call(command, suite)
    assert_plain(called, 4)
    assert f"other{suffix}:5:22: 4 needs a unit" in called.err


def test_a_variant_of_the_suffix_is_run(tmp_path: Path) -> None:
    suite = write_suite(tmp_path, backend_lost=BACKEND_LOST)
    (suite / "backend-lost.chaos.yaml").rename(suite / "backend-lost.Chaos.yml")
    called = call("run", suite, "--jobs", 1, "--json", "--reports", tmp_path / "reports")
    assert [one["name"] for one in called.document["experiments"]] == ["backend-lost"]


@pytest.mark.parametrize("name", ["backend-lost.yaml", "chaos.yaml", "backend-lost.chaos.yaml.txt"])
def test_a_file_that_no_directory_search_finds_is_refused_by_name(name: str, tmp_path: Path) -> None:
    suite = write_suite(tmp_path)
    (suite / name).write_text(BACKEND_LOST, encoding="utf-8")
    assert_plain(call("validate", suite), 5)
    called = call("validate", suite / name)
    assert_plain(called, 4)
    assert "is not an experiment" in called.err


def test_a_hidden_file_is_found_and_a_hidden_directory_is_not_searched(tmp_path: Path) -> None:
    suite = write_suite(tmp_path)
    (suite / ".hidden.chaos.yaml").write_text(BROKEN, encoding="utf-8")
    (suite / ".git").mkdir()
    (suite / ".git" / "other.chaos.yaml").write_text(BROKEN, encoding="utf-8")
    called = call("validate", suite)
    assert_plain(called, 4)
    assert ".hidden.chaos.yaml:" in called.err
    assert ".git" not in called.err


@pytest.mark.parametrize("command", ["run", "validate", "plan"])
def test_every_mistake_at_once_with_its_place(command: str, tmp_path: Path) -> None:
    suite = write_suite(tmp_path, broken=BROKEN, twice=BACKEND_LOST, again=BACKEND_LOST)
    called = call(command, suite)
    assert_plain(called, 4)
    assert "broken.chaos.yaml:5:22: 4 needs a unit" in called.err
    assert "broken.chaos.yaml:7:10: unknown SLO" in called.err
    assert "did you mean 'answered'?" in called.err
    assert "'backend-lost' (first in" in called.err


def test_with_json_mistakes_are_the_one_document(tmp_path: Path) -> None:
    called = call("run", write_suite(tmp_path, broken=BROKEN), "--json")
    assert called.code == 4
    assert called.document["verdict"] == "usage"
    assert called.document["exit_code"] == 4
    assert len(called.document["diagnostics"]) == 3
    assert called.err.splitlines() == called.document["diagnostics"]


@pytest.mark.parametrize("command", ["run", "plan"])
def test_an_unknown_safeguard_is_refused_before_anything_runs(command: str, suite: Path) -> None:
    more = () if command == "plan" else ("--reports", suite.parent / "reports")
    called = call(command, suite, "--without", "gateway.fallbak", *more)
    assert_plain(called, 4)
    assert "unknown safeguard 'gateway.fallbak'" in called.err
    assert "did you mean 'gateway.fallback'?" in called.err
    assert not list((suite.parent / "reports").glob("*Z"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--seed", "-1"), "--seed -1: expected a whole number, 0 or more"),
        (("--seed", "seven"), "--seed seven: expected a whole number, 0 or more"),
        (("--seed", "1.5"), "--seed 1.5: expected a whole number, 0 or more"),
        (("--seeds", "0"), "--seeds 0: expected a whole number, 1 or more"),
        (("--jobs", "0"), "--jobs 0: expected a whole number, 1 or more"),
        (("--sede", "1"), "No such option: --sede; did you mean --seed"),
    ],
)
def test_options_that_make_no_sense(arguments: tuple[str, ...], said: str, suite: Path) -> None:
    called = call("run", suite, *arguments)
    assert_plain(called, 4)
    assert called.err.startswith(said)
    assert "harness run --help" in called.err


def test_files_that_are_no_experiments_are_named_as_what_they_are(suite: Path) -> None:
    readme = suite.parent / "README.md"
    readme.write_text("# Not: an experiment\n", encoding="utf-8")
    called = call("validate", readme, suite / "slos.yaml", suite)
    assert_plain(called, 4)
    assert called.err.splitlines() == [
        f"{readme}: is not an experiment; give a *.chaos.yaml file or a directory that holds some",
        f"{suite / 'slos.yaml'}: holds SLOs, not an experiment; they are checked with the experiments below it",
    ]


def test_an_experiment_for_another_runtime_is_left_out_of_a_directory_and_said(tmp_path: Path) -> None:
    suite = write_suite(tmp_path, backend_lost=BACKEND_LOST, only_live=LIVE_ONLY)
    called = call("run", suite, "--jobs", 1, "--json", "--reports", tmp_path / "reports")
    assert called.code == 0
    assert [one["name"] for one in called.document["experiments"]] == ["backend-lost"]
    (left,) = called.document["left_out"]
    assert (left["name"], left["reason"]) == ("only-live", "needs --runtime live")
    assert "left out: only-live (" in called.err


def test_an_experiment_for_another_runtime_is_refused_when_it_is_named(tmp_path: Path) -> None:
    suite = write_suite(tmp_path, backend_lost=BACKEND_LOST, only_live=LIVE_ONLY)
    called = call("run", suite, suite / "only-live.chaos.yaml", "--reports", tmp_path / "reports")
    assert_plain(called, 4)
    assert "only-live.chaos.yaml: needs --runtime live" in called.err
    assert "needs --runtime live" in call("validate", suite).out
    assert "  runtime live only" in call("plan", suite).out


def test_when_all_are_left_out_nothing_was_selected(tmp_path: Path) -> None:
    called = call("run", write_suite(tmp_path, only_live=LIVE_ONLY), "--reports", tmp_path / "reports")
    assert_plain(called, 5)
    assert "left out: only-live" in called.err


def test_a_schema_of_something_else_names_those_that_there_are() -> None:
    called = call("schema", "slo")
    assert_plain(called, 4)
    assert called.err == "schema slo: use experiment or slos; did you mean 'slos'?\n"


def test_an_unknown_command(tmp_path: Path) -> None:
    called = call("rnu", tmp_path)
    assert_plain(called, 4)
    assert "rnu" in called.err
    assert "'run'" in called.err


def test_no_command_shows_the_help_and_is_not_green() -> None:
    called = call()
    assert called.code == 4
    assert "Usage: harness" in called.out
    assert "no command given" in called.err


@pytest.mark.parametrize("command", ["judge", "replay"])
def test_what_is_no_run_directory(command: str, tmp_path: Path) -> None:
    called = call(command, tmp_path)
    assert_plain(called, 4)
    assert "is not a run directory" in called.err


def test_reports_where_nothing_can_be_written(suite: Path) -> None:
    (suite.parent / "file").write_text("", encoding="utf-8")
    called = call("run", suite, "--reports", suite.parent / "file" / "below")
    assert_plain(called, 4)
    assert "--reports" in called.err


def test_a_file_that_is_no_text(suite: Path) -> None:
    (suite / "binary.chaos.yaml").write_bytes(b"\xff\xfe\x00\x01")
    called = call("validate", suite)
    assert_plain(called, 4)
    assert "binary.chaos.yaml" in called.err


def test_a_defect_says_where_to_report_it_and_is_an_error(
    suite: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr("harness.engine.suite.run_suite", broken)
    monkeypatch.delenv("HARNESS_DEBUG", raising=False)
    called = call("run", suite, "--reports", suite.parent / "reports")
    assert_plain(called, 3)
    assert "internal error: ZeroDivisionError: a defect" in called.err
    assert "please report it" in called.err
    file = Path(called.err.split("the traceback is in ")[1].split(";")[0])
    assert "ZeroDivisionError: a defect" in file.read_text(encoding="utf-8")
    file.unlink()


def test_a_defect_shows_its_traceback_when_asked_to(suite: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr("harness.engine.suite.run_suite", broken)
    monkeypatch.setenv("HARNESS_DEBUG", "1")
    called = call("run", suite, "--reports", suite.parent / "reports", "--json")
    assert called.code == 3
    assert "Traceback" in called.err
    assert called.document["verdict"] == "error"


def test_an_interrupt_is_130(suite: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("harness.engine.suite.run_suite", interrupted)
    called = call("run", suite, "--reports", suite.parent / "reports")
    assert called.code == 130
    assert "interrupted" in called.err


def test_the_same_file_given_twice_is_one_experiment(suite: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(suite.parent)
    file = suite / "backend-lost.chaos.yaml"
    called = call(
        "validate", suite, file, "experiments", "experiments/../experiments/backend-lost.chaos.yaml"
    )
    assert called.code == 0
    assert called.out.endswith("1 experiment valid\n")


def test_hidden_directories_are_not_searched(suite: Path) -> None:
    hidden = suite / ".cache"
    hidden.mkdir()
    (hidden / "old.chaos.yaml").write_text(BROKEN, encoding="utf-8")
    assert call("validate", suite).code == 0


def test_main_ends_the_process_with_the_code(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.argv", ["harness", "validate", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == 5
