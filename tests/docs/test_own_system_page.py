"""docs/own-system.md: its blocks are the files that `harness init` writes, and its commands do what it says."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from pathlib import Path

import pytest

import harness
from tests.cli.support import call
from tests.docs.pages import ROOT, Command, blocks, commands, execute, write_files

TEXT = (ROOT / "docs" / "own-system.md").read_text(encoding="utf-8")
PAGE = blocks(ROOT / "docs" / "own-system.md")
FILES = (
    "shop.py",
    "experiments/slos.yaml",
    "experiments/backend-lost.chaos.yaml",
    "tests/test_shop.py",
    "conftest.py",
)
COMMANDS = [command for block in PAGE if block.language == "console" for command in commands(block)]

RECORDED_WITH_THIS_PYTHON = (
    (ROOT / ".python-version").read_text().startswith("{}.{}".format(*sys.version_info))
)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What somebody has who follows the page."""
    made = tmp_path_factory.mktemp("my-shop")
    assert write_files(PAGE, made) == list(FILES)
    return made


def test_the_blocks_are_the_files_that_init_writes(directory: Path) -> None:
    scaffold = ROOT / "harness" / "scaffold" / "own"
    for name in FILES:
        shown = "\n".join(line for line in (directory / name).read_text().splitlines() if line != f"# {name}")
        written = (scaffold / name).read_text(encoding="utf-8")
        assert re.sub(r"\n+", "\n", shown).strip() == re.sub(r"\n+", "\n", written).strip(), name
        assert f"| `{name}` |" in TEXT
    others = [path for path in scaffold.rglob("*.*") if "__pycache__" not in path.parts]
    assert {path.relative_to(scaffold).as_posix() for path in others} == set(FILES)


def run(command: Command, directory: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Its output. `harness` runs in this process; `harness init` goes to an empty directory."""
    program, *words = command.words
    if program != "harness":
        return execute(command, directory, {"PYTHONPATH": str(ROOT)}).stdout
    monkeypatch.chdir(elsewhere if words[0] == "init" else directory)
    called = call(*words, *(("--jobs", "1") if words[0] == "run" else ()))
    assert called.code == command.code, called.out + called.err
    return called.out


def test_its_commands_do_what_it_says(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One after the other, as a person does. The experiment holds because of the safeguard."""
    monkeypatch.syspath_prepend(str(directory))
    monkeypatch.delitem(sys.modules, "shop", raising=False)
    outputs = {" ".join(one.words): run(one, directory, tmp_path, monkeypatch) for one in COMMANDS}
    if RECORDED_WITH_THIS_PYTHON:
        shown = next(block for block in blocks(ROOT / "README.md") if "backend-lost PASSED" in block.text)
        printed = [line.strip() for line in outputs["harness run experiments"].splitlines()]
        assert [line for line in shown.text.splitlines() if line.strip() not in printed] == []
    held, failed = sorted((directory / "reports").glob("*Z*/*/verdict.json"))[:2]
    (experiment,) = json.loads(held.read_text(encoding="utf-8"))["experiments"]
    assert 2000 < experiment["gates"][0]["samples"] < 2400  # "some 2,200"
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
        "Chart",
        "StateChart",
        "System",
    ],
)
def test_the_order_of_fields_is_that_of_the_page(name: str) -> None:
    row = next(line for line in TEXT.splitlines() if line.startswith(f"| `{name}` | "))
    said = row.split("|")[2].partition(":")[0]
    fields = [field.name for field in dataclasses.fields(getattr(harness, name))]
    assert re.findall(r"`(\w+)`", said) == fields


def test_every_attribute_of_a_host_is_on_the_page() -> None:
    public = [name for name in vars(harness.Host) if not name.startswith("_")]
    table = TEXT[TEXT.index("| `name role") : TEXT.index("Rules that make")]
    missing = [name for name in public if not re.search(rf"[` ]{name}[`(. ]", table)]
    assert missing == []
