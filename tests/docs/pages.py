"""The fenced blocks of README.md and docs/*.md, and what their commands do.

A block after the line `<!-- not run: REASON -->` is checked for its syntax only.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = tuple(sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]))

_FENCE = re.compile(
    r"^(?: *<!-- not run: (?P<reason>[^>\n]+) -->\n)?"
    r"(?P<indent> *)```(?P<language>[^\n]*)\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """`reason`: why it is not run; empty where it is."""

    page: str
    line: int
    language: str
    text: str
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def file(self) -> str:
        """The file that it goes into, by its first line `# path`; empty for none."""
        found = re.match(r"# ([\w./-]+\.(?:py|yaml|toml))\n", self.text)
        return found[1] if found else ""


@dataclass(frozen=True)
class Command:
    """A command line of a console block, and the exit code that the page says it has."""

    words: tuple[str, ...]
    code: int
    block: Block

    def __str__(self) -> str:
        return f"{self.block}: {shlex.join(self.words)}"


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _FENCE.finditer(text):
        line = text[: match.start("language")].count("\n") + 1
        indent = match["indent"]
        body = "".join(one.removeprefix(indent) for one in match["text"].splitlines(keepends=True))
        found.append(Block(page.name, line, match["language"], body, match["reason"] or ""))
    return found


def all_blocks() -> list[Block]:
    return [block for page in PAGES for block in blocks(page)]


def commands(block: Block) -> Iterator[Command]:
    """The lines that begin with `$ `, with those that end in a backslash continued."""
    for line in block.text.replace("\\\n", " ").splitlines():
        if line.startswith("$ "):
            command, _, comment = line.removeprefix("$ ").partition(" #")
            stated = re.search(r"exit code (\d+)", comment)
            yield Command(tuple(shlex.split(command)), int(stated[1]) if stated else 0, block)


def write_files(found: list[Block], directory: Path) -> list[str]:
    """Write every block that begins with the name of a file; several of one name are appended. Returns the names."""
    names: dict[str, str] = {}
    for block in found:
        if block.file:
            before = names[block.file] + "\n\n" if block.file in names else ""
            names[block.file] = before + block.text
    for name, text in names.items():
        file = directory / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return list(names)


def execute(
    command: Command, directory: Path, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own, from this environment. Asserts the exit code of the page."""
    python = Path(sys.executable)
    program = {"python": str(python)}.get(command.words[0], str(python.parent / command.words[0]))
    inherited = {name: value for name, value in os.environ.items() if name != "GITHUB_ACTIONS"}
    done = subprocess.run(
        [program, *command.words[1:]],
        cwd=directory,
        env={**inherited, "COLUMNS": "160", **(environment or {})},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == command.code, f"{command}\n{done.stdout}{done.stderr}"
    return done
