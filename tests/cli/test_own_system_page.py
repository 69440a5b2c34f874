"""The page for people who bring their own system: pasted as it is, it works."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import harness.system
from tests.cli.support import Called, call

PAGE = (Path(__file__).parents[2] / "docs" / "own-system.md").read_text(encoding="utf-8")
FILES = ("shop.py", "experiments/slos.yaml", "experiments/backend-lost.chaos.yaml", "tests/test_shop.py")

ONLY_OUR_PLUGIN = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": "harness.pytest_plugin"}
"""What other plugins import takes longer than the tests of the page."""


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def commands() -> Iterator[tuple[list[str], int]]:
    """Each command line of the page, and the exit code that it is said to have."""
    for line in "".join(blocks("console")).splitlines():
        command, _, comment = line.removeprefix("$ ").partition("#")
        said = re.search(r"exit code (\d+)", comment)
        yield shlex.split(command), int(said[1]) if said else 0


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What somebody has who follows the page: its files, each of all blocks that begin with its name."""
    made = tmp_path_factory.mktemp("my-shop")
    for block in [*blocks("python"), *blocks("yaml")]:
        first, _, _ = block.partition("\n")
        file = made / first.removeprefix("# ")
        file.parent.mkdir(exist_ok=True)
        before = file.read_text(encoding="utf-8") + "\n\n" if file.exists() else ""
        file.write_text(before + block, encoding="utf-8")
    return made


def run(directory: Path, command: list[str], monkeypatch: pytest.MonkeyPatch) -> Called:
    """In this process, as far as it is the `harness` command."""
    if command[0] == "harness":
        monkeypatch.chdir(directory)
        monkeypatch.syspath_prepend(str(directory))
        monkeypatch.delitem(sys.modules, "shop", raising=False)
        return call(*command[1:], *(("--jobs", "1") if command[1] == "run" else ()))
    assert command[0] == "python"
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, *command[1:]],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": root, **ONLY_OUR_PLUGIN},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Called(done.returncode, done.stdout, done.stderr)


def test_the_page_makes_the_files_that_it_names(directory: Path) -> None:
    found = {path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file()}
    assert {name for name in found if "reports" not in name} >= set(FILES)
    assert all(f"| `{name}` |" in PAGE for name in FILES)


@pytest.mark.parametrize(("command", "code"), list(commands()), ids=str)
def test_its_commands_do_what_it_says(
    command: list[str], code: int, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called = run(directory, command, monkeypatch)
    assert called.code == code, called.out + called.err


def test_its_experiment_holds_because_of_the_safeguard(directory: Path) -> None:
    held, failed = sorted((directory / "reports").glob("*Z*/*/verdict.json"))[:2]
    (experiment,) = json.loads(held.read_text(encoding="utf-8"))["experiments"]
    assert 500 < experiment["gates"][0]["samples"] < 700  # "some 600"
    assert [arm["verdict"] for arm in experiment["arms"]] == ["passed"]
    assert {gate["name"] for gate in experiment["gates"]} >= {"quick[fast]", "quick[slow]"}
    assert json.loads(failed.read_text(encoding="utf-8"))["verdict"] == "failed"


@pytest.mark.parametrize(
    "name",
    [
        "Node",
        "Link",
        "Topology",
        "Access",
        "Client",
        "Workload",
        "Safeguard",
        "Invariant",
        "Event",
        "ParityMetric",
        "System",
    ],
)
def test_the_order_of_fields_is_that_of_the_page(name: str) -> None:
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{name}` | "))
    said = row.split("|")[2].partition(":")[0]
    fields = [field.name for field in dataclasses.fields(getattr(harness.system, name))]
    assert re.findall(r"`(\w+)`", said) == fields


def test_every_attribute_of_a_host_is_on_the_page() -> None:
    public = [name for name in vars(harness.system.Host) if not name.startswith("_")]
    table = PAGE[PAGE.index("| `name role") : PAGE.index("Rules that make")]
    missing = [name for name in public if not re.search(rf"[` ]{name}[`(. ]", table)]
    assert missing == []
