"""docs/cli.md has every command, and every option of `harness run`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.cli.commands import ALL
from tests.cli.support import call

PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("command", [name for name, _ in ALL])
def test_every_command_is_on_the_page(command: str) -> None:
    assert re.search(rf"^\| \[`harness {command}\b", PAGE, re.MULTILINE)


def test_every_option_of_run_is_on_the_page() -> None:
    options = set(re.findall(r"--[a-z][a-z-]+", call("run", "--help").out)) - {"--help"}
    assert {"--seed", "--runtime", "--json"} <= options
    table = PAGE[PAGE.index("| option | |") : PAGE.index("The same seed gives")]
    assert {option for option in options if f"`{option}" not in table} == set()
