"""docs/extending.md: its files are written, its package is installed, and its commands do what it says."""

from __future__ import annotations

import csv
import json
import tomllib
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, Command, blocks, commands, execute, write_files

PAGE = blocks(ROOT / "docs" / "extending.md")
FILES = [block for block in PAGE if block.file]
COMMANDS = [command for block in PAGE if block.language == "console" for command in commands(block)]
MOVIE, TRACE = [block.text for block in PAGE if block.language == "json"]


def install(directory: Path) -> None:
    """What `pip install -e .` leaves of the page's pyproject.toml, without an index: metadata beside the package."""
    project = tomllib.loads((directory / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    metadata = directory / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    metadata.mkdir()
    about = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    (metadata / "METADATA").write_text(about, encoding="utf-8")
    lines: list[str] = []
    for group, points in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in points.items())]
    (metadata / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")


def run(words: str, directory: Path) -> str:
    """The output of the command of the page that begins so."""
    (command,) = [one for one in COMMANDS if " ".join(one.words).startswith(words)]
    return execute(command, directory, {"PYTHONPATH": f"{directory}:{ROOT}"}).stdout


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What somebody has who follows the page."""
    made = tmp_path_factory.mktemp("my-shop")
    execute(COMMANDS[0], made)
    write_files(FILES, made)
    (made / "my_chaos" / "__init__.py").touch()
    (made / "movie.json").write_text(MOVIE, encoding="utf-8")
    (made / "trace.json").write_text(TRACE, encoding="utf-8")
    install(made)
    return made


def test_every_command_is_run_by_a_test() -> None:
    begins = (
        "harness init",
        "pip install",
        "harness list",
        "harness validate",
        "harness run",
        "python hold_toxic",
        "python -m systems",
    )
    assert all(" ".join(one.words).startswith(begin) for one, begin in zip(COMMANDS, begins, strict=True))


def test_they_are_listed_and_the_experiment_is_valid(directory: Path) -> None:
    listed = run("harness list", directory)
    assert all(name in listed for name in ("geometric_mean", "brown-out", "gates-csv"))
    assert "share of the requests that are answered with an error" in listed
    run("harness validate", directory)


def test_a_mistake_in_an_entry_of_the_gate_is_a_diagnostic(directory: Path) -> None:
    good = (directory / "experiments" / "brown-out.chaos.yaml").read_text(encoding="utf-8")
    bad = directory / "bad" / "bad.chaos.yaml"
    bad.parent.mkdir()
    (bad.parent / "slos.yaml").write_bytes((directory / "experiments" / "slos.yaml").read_bytes())
    bad.write_text(good.replace("mean: latency_s", "mean: latency").replace("300ms", "300"), encoding="utf-8")
    command = Command(("harness", "validate", str(bad)), 4, COMMANDS[0].block)
    complaint = execute(command, directory, {"PYTHONPATH": f"{directory}:{ROOT}"}).stderr
    assert "300 needs a unit" in complaint
    assert "latency_s" in complaint


def test_one_experiment_uses_all_of_them(directory: Path) -> None:
    run("harness run", directory)
    suite = directory / "reports" / "latest"
    rows = list(csv.DictReader((suite / "gates.csv").read_text(encoding="utf-8").splitlines()))
    mean = next(row for row in rows if row["gate"] == "geometric mean latency_s")
    assert (mean["experiment"], mean["verdict"], mean["unit"]) == ("brown-out", "passed", "s")
    assert 0 < float(mean["value"]) < 0.3
    (file,) = suite.glob("*/verdict.json")
    (result,) = json.loads(file.read_text(encoding="utf-8"))["experiments"]
    (fault,) = result["faults"]
    assert fault["fault"] == "brown-out"
    assert fault["exposure"]["requests"] > 20
    (gate,) = [gate for gate in result["gates"] if gate["kind"] == "geometric_mean"]
    assert gate["interval"][0] < gate["value"] < gate["interval"][1] < gate["threshold"]
    page = (file.parent / "report.html").read_text(encoding="utf-8")
    assert "Latency of visits" in page
    assert "Visits with offers" in page


def test_the_proxy_server_takes_the_toxic(directory: Path) -> None:
    toxic = json.loads(run("python hold_toxic", directory))
    assert (toxic["type"], toxic["attributes"]) == ("hold", {"hold": 50})


def test_the_player_takes_the_rule(directory: Path) -> None:
    record = json.loads(run("python -m systems", directory))
    # The first segment, and those while less than half of the buffer is full, are of the lowest rendition.
    assert record["rebuffer_events"] == 0
    assert 500 * 0.8 < record["bitrate_kbps"] < 1500
