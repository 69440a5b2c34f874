"""Every block of README.md and docs/ is run or checked.

Commands and programs are run in a directory that `harness init` wrote. Blocks marked `<!-- not run: REASON -->` need a
package index, privileges, live processes or minutes: their syntax is checked, and that their options and targets exist.
docs/own-system.md and docs/extending.md have tests of their own, as they build one directory from beginning to end.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import yaml

from harness import ExperimentError, read_experiment
from harness.cli.main import app
from harness.verdict.document import results_of
from tests.cli.support import call
from tests.docs.pages import PAGES, ROOT, Block, Command, all_blocks, commands

OWN_TESTS = {"own-system.md", "extending.md"}
LANGUAGES = {"text", "console", "python", "yaml", "json", "toml"}
BLOCKS = [block for block in all_blocks() if block.page not in OWN_TESTS]
COMMANDS = [command for block in BLOCKS if block.language == "console" for command in commands(block)]
MISTAKES = "experiments/mistakes.chaos.yaml"
RUN_ELSEWHERE = {
    "harness run experiments",
    "pytest experiments tests",
    "harness run experiments/delivery/edge-appliance-loss.chaos.yaml",
    "harness run experiments/delivery/edge-appliance-loss.chaos.yaml --without player.failover",
}
"""Commands that test_own_system_page.py and test_shown.py run, or that do what an arm does there."""


def of(language: str) -> list[Block]:
    return [block for block in BLOCKS if block.language == language]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `harness init` writes."""
    made = tmp_path_factory.mktemp("shop")
    assert call("init", "own", made).code == 0
    return made


@pytest.fixture(scope="module")
def streaming(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `harness init streaming` writes, beside the inputs that the page of the player names."""
    made = tmp_path_factory.mktemp("streaming")
    assert call("init", "streaming", made).code == 0
    (made / "tests").symlink_to(ROOT / "tests")
    return made


@pytest.fixture(scope="module")
def mistakes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the experiment whose mistakes the pages show."""
    made = tmp_path_factory.mktemp("mistakes")
    (block,) = [block for block in of("yaml") if block.file == MISTAKES]
    (made / "experiments").mkdir()
    (made / "experiments" / "slos.yaml").write_bytes((ROOT / "experiments" / "slos.yaml").read_bytes())
    (made / MISTAKES).write_text(block.text.partition("\n")[2], encoding="utf-8")
    return made


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_code_is_in_fenced_blocks_with_a_language(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert {block.language for block in all_blocks() if block.page == page.name} <= LANGUAGES
    without = re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)
    assert re.findall(r"\n\n(    [^ ].*)", without) == []


@pytest.mark.parametrize("block", of("python"), ids=str)
def test_python_is_valid_and_runs(block: Block, shop: Path) -> None:
    if block.page == "reference.md" and "import" not in block.text:
        return  # signatures, and examples of docstrings
    ast.parse(block.text)
    if not block.reason:
        done = subprocess.run(
            [sys.executable, "-c", block.text],
            cwd=shop,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("block", of("yaml"), ids=str)
def test_yaml_is_valid(block: Block, streaming: Path) -> None:
    value = yaml.safe_load(block.text)
    if not isinstance(value, dict) or block.file == MISTAKES:
        return  # a comment; the file whose mistakes are shown
    if set(value) == {"timeline"}:
        header = {
            "experiment": "fragment",
            "title": "A fragment of a page",
            "system": "streaming",
            "load": {"viewers": {"arrive": "1/s", "for": "2m", "mix": "even"}},
            "gates": [{"slo": "playback-success", "target": "50%"}],
        }
        value = header | value
    if "experiment" in value:
        file = streaming / "experiments" / f"block-{block.page}-{block.line}.chaos.yaml"
        file.write_text(yaml.safe_dump(value), encoding="utf-8")
        read_experiment(file)
        file.unlink()


@pytest.mark.parametrize("block", of("json"), ids=str)
def test_json_is_valid(block: Block) -> None:
    document = json.loads(block.text)
    if "experiments" in document:
        assert results_of(document)


@pytest.mark.parametrize("command", [one for one in COMMANDS if not one.block.reason], ids=str)
def test_commands_do_what_the_page_says(
    command: Command, streaming: Path, mistakes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, *words = command.words[: command.words.index(">")] if ">" in command.words else command.words
    if " ".join(command.words) in RUN_ELSEWHERE:
        return
    if program == "python":
        done = subprocess.run(
            [sys.executable, *words], cwd=streaming, capture_output=True, timeout=100, check=False
        )
        assert done.returncode == command.code, done.stdout
        (shown,) = [block for block in of("json") if block.page == command.block.page]
        assert json.loads(done.stdout) == json.loads(shown.text)
        return
    assert program == "harness"
    monkeypatch.chdir(tmp_path if words[0] == "init" else mistakes if MISTAKES in words else streaming)
    called = call(*words, *(("--jobs", "1") if words[0] == "run" else ()))
    assert called.code == command.code, called.out + called.err


def test_mistakes_are_reported_as_the_pages_show_them(
    mistakes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(mistakes)
    with pytest.raises(ExperimentError) as caught:
        read_experiment(MISTAKES)
    lines = [str(one) for one in caught.value.diagnostics]
    shown = [
        block.text.splitlines() for block in of("text") if "experiments/mistakes.chaos.yaml:" in block.text
    ]
    assert len(shown) == 2
    assert lines in shown
    assert all(set(some) <= set(lines) for some in shown)


@pytest.mark.parametrize("command", [one for one in COMMANDS if one.block.reason], ids=str)
def test_commands_that_are_not_run_have_options_and_targets_that_exist(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [word for word in command.words if word != "sudo"]
    program, *arguments = words[: words.index(">")] if ">" in words else words
    if program == "make":
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in arguments)
    elif Path(program).name == "harness" and arguments[0] != "toxiproxy":
        monkeypatch.chdir(ROOT)
        name, *rest = [word for word in arguments if word != "&"]
        group = typer.main.get_command(app)
        parsed = group.commands[name]  # type: ignore[attr-defined]
        parsed.make_context(name, rest)
