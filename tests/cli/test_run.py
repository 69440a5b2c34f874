"""`harness run`: what it prints, writes and returns, on real runs of the toy system."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import duckdb
import pytest

from tests.cli.support import BACKEND_LOST, UNTOUCHED, Called, call, write_suite

OFF = ("--without", "gateway.retry", "--without", "gateway.fallback")


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_suite(tmp_path_factory.mktemp("toy"), backend_lost=BACKEND_LOST)


@pytest.fixture(scope="module")
def passed(suite: Path) -> Called:
    return call("run", suite, "--jobs", 1, "--seed", 7, "--reports", suite.parent / "reports")


@pytest.fixture(scope="module")
def failed(suite: Path) -> Called:
    return call("run", suite, "--jobs", 1, "--seed", 7, "--reports", suite.parent / "off", *OFF)


@pytest.fixture(scope="module")
def as_json(suite: Path) -> Called:
    return call("run", suite, "--jobs", 1, "--seed", 7, "--reports", suite.parent / "json", "--json")


def test_passed_is_exit_zero_and_says_so(passed: Called) -> None:
    assert passed.code == 0
    assert passed.out.rstrip().splitlines()[-1].startswith("✓ PASSED  1 passed, in ")
    assert passed.err == ""


def test_every_gate_is_shown_with_its_numbers(passed: Called) -> None:
    for name in ("answered", "quick", "gateway.retry after fault"):
        assert any(line.startswith(f"  ✓ PASSED       {name} ") for line in passed.out.splitlines())


def test_the_page_that_is_named_is_there(passed: Called) -> None:
    line = next(line for line in passed.out.splitlines() if line.startswith("Report: "))
    page = Path(line.removeprefix("Report: "))
    assert page.is_file()
    assert (page.parent / "junit.xml").is_file()
    assert (page.parent / "backend-lost.seed7" / "report.html").is_file()


def test_a_failed_run_names_gate_interval_limit_fault_safeguard_and_replay(failed: Called) -> None:
    assert failed.code == 1
    block = failed.out[failed.out.index("✗ FAILED         backend-lost: answered") :].split("\n\n")[0]
    labels = {line[4:17].strip(): line[17:] for line in block.splitlines()[1:]}
    assert "] of " in labels["why"]
    assert "%, " in labels["measured"]
    assert "threshold ≥ 95.0%" in labels["measured"]
    assert labels["fault"].startswith("crash of backend-")
    assert labels["switched off"] == "gateway.fallback, gateway.retry"
    assert labels["at"].endswith("backend-lost.chaos.yaml:10")
    assert labels["replay"].startswith("harness replay ")


def test_the_replay_command_that_is_printed_reproduces_the_run(failed: Called) -> None:
    line = next(line for line in failed.out.splitlines() if "replay       harness" in line)
    _, command, run = line.split()[-3:]
    again = call(command, run)
    assert again.code == 1
    assert "replayed exactly: the same history" in again.out


def test_json_is_one_document_of_the_promised_shape(as_json: Called) -> None:
    assert as_json.code == 0
    document = as_json.document
    assert document["verdict"] == "passed"
    assert document["exit_code"] == 0
    (experiment,) = document["experiments"]
    assert {"name", "verdict", "seed", "run", "history_sha256", "replay", "gates", "faults", "arms"} <= set(
        experiment
    )
    assert experiment["seed"] == 7
    assert len(experiment["history_sha256"]) == 64
    for gate in experiment["gates"]:
        assert {"name", "verdict", "value", "interval", "threshold", "samples"} <= set(gate)
    (fault,) = experiment["faults"]
    assert fault["exposure"]["connects_blocked"] > 0
    assert [arm["verdict"] for arm in experiment["arms"]] == ["passed"]


def test_with_json_progress_goes_to_stderr(as_json: Called) -> None:
    assert "backend-lost" in as_json.err
    assert as_json.out.startswith("{\n")


def test_verdict_json_holds_the_same_document(as_json: Called) -> None:
    document = as_json.document
    file = Path(document["experiments"][0]["run"]) / "verdict.json"
    assert json.loads(file.read_text(encoding="utf-8")) == document


def test_judging_again_changes_nothing(as_json: Called) -> None:
    run = Path(as_json.document["experiments"][0]["run"])
    before = (run / "verdict.json").read_bytes()
    again = call("judge", run)
    assert again.code == 0
    assert again.out.rstrip().endswith("verdict.json: the same, byte for byte")
    assert (run / "verdict.json").read_bytes() == before
    assert call("judge", run, "--json").document == {**as_json.document, "altered": [], "differences": []}


def test_another_verdict_is_told_and_replaced_only_when_asked(failed: Called, suite: Path) -> None:
    run = min((suite.parent / "off").glob("*Z/backend-lost.seed7"))
    text = (run / "verdict.json").read_text(encoding="utf-8")
    doctored = text.replace("failed", "passed")
    (run / "verdict.json").write_text(doctored, encoding="utf-8")
    again = call("judge", run)
    assert again.code == 3
    assert "verdict.json: NOT what is computed now; it is left as it is, --write replaces it:" in again.out
    assert '  experiments[0].verdict: "passed" became "failed"' in again.out
    assert (run / "verdict.json").read_text(encoding="utf-8") == doctored
    document = call("judge", run, "--json").document
    assert (document["verdict"], document["exit_code"]) == ("failed", 3)
    assert 'experiments[0].verdict: "passed" became "failed"' in document["differences"]
    written = call("judge", run, "--write")
    assert written.code == 1
    assert "is written anew" in written.out
    assert (run / "verdict.json").read_text(encoding="utf-8") == text
    assert call("judge", run).code == 1


def test_a_verdict_that_was_never_written_is(as_json: Called, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(as_json.document["experiments"][0]["run"], run)
    before = (run / "verdict.json").read_bytes()
    (run / "verdict.json").unlink()
    again = call("judge", run)
    assert again.code == 0
    assert "there was none; it is written" in again.out
    assert (run / "verdict.json").read_bytes() == before


@pytest.mark.parametrize(
    ("file", "arm"), [("visits.parquet", False), ("events.parquet", True), ("metadata.json", False)]
)
def test_an_altered_history_is_an_error_and_its_verdict_is_not_kept(
    as_json: Called, tmp_path: Path, file: str, arm: bool
) -> None:
    run = tmp_path / "run"
    shutil.copytree(as_json.document["experiments"][0]["run"], run)
    (place,) = (run / "arms").iterdir()
    path = (place if arm else run) / file
    if path.suffix == ".parquet":
        with duckdb.connect() as connection:
            connection.execute(f"CREATE TABLE t AS SELECT * FROM '{path}' LIMIT 60")
            connection.execute(f"COPY t TO '{path}' (FORMAT parquet)")
    else:
        path.write_text(path.read_text(encoding="utf-8").replace("clients", "clienst"), encoding="utf-8")
    before = (run / "verdict.json").read_bytes()
    named = f"{path.relative_to(run)} was changed"
    for options in ((), ("--write",)):
        again = call("judge", run, *options)
        assert again.code == 3
        assert f"the history is not what was recorded: {named}" in " ".join(again.out.split())
        assert (run / "verdict.json").read_bytes() == before
    assert call("judge", run, "--json").document["altered"] == [named]


def test_replaying_an_altered_history_says_so(as_json: Called, tmp_path: Path) -> None:
    run = tmp_path / "suite" / "run"
    shutil.copytree(as_json.document["experiments"][0]["run"], run)
    (run / "strange.parquet").write_bytes((run / "visits.parquet").read_bytes())
    again = call("replay", run)
    assert again.code == 3
    assert "replayed exactly" in again.out
    assert "NOT as it was recorded: strange.parquet was added" in again.out


def test_replay_as_json_says_whether_it_is_the_same(as_json: Called) -> None:
    again = call("replay", as_json.document["experiments"][0]["run"], "--json")
    assert again.code == 0
    assert again.document["identical"] is True
    assert again.document["differences"] == []
    (first,), (second,) = as_json.document["experiments"], again.document["experiments"]
    assert first["history_sha256"] == second["history_sha256"]


def test_replaying_a_doctored_history_is_an_error(as_json: Called) -> None:
    run = Path(as_json.document["experiments"][0]["run"])
    environment = run / "environment.json"
    text = environment.read_text(encoding="utf-8")
    environment.write_text(text.replace('"history_sha256": "', '"history_sha256": "0'), encoding="utf-8")
    try:
        again = call("replay", run)
    finally:
        environment.write_text(text, encoding="utf-8")
    assert again.code == 3
    assert "NOT the same history: main differ" in again.out


def test_a_fault_that_touched_nothing_is_inconclusive(tmp_path: Path) -> None:
    suite = write_suite(tmp_path, untouched=UNTOUCHED)
    called = call("run", suite, "--jobs", 1, "--reports", tmp_path / "reports")
    assert called.code == 2
    assert "it affected no traffic" in called.out


def test_seeds_count_up_and_each_has_its_run(tmp_path: Path) -> None:
    suite = write_suite(tmp_path, untouched=UNTOUCHED)
    arguments = ("run", suite, "--jobs", 1, "--reports", tmp_path / "reports")
    called = call(*arguments, "--seed", 3, "--seeds", 2, "--json")
    assert [one["seed"] for one in called.document["experiments"]] == [3, 4]
    assert len({one["history_sha256"] for one in called.document["experiments"]}) == 2
    assert sorted(path.name for path in (tmp_path / "reports").glob("*Z/*.seed*")) == [
        "untouched.seed3",
        "untouched.seed4",
    ]
