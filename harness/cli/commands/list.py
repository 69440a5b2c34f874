from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from harness.cli.command import CommandResult, Json, echo

KINDS = ("experiments", "systems", "safeguards", "faults", "gates", "runtimes", "reporters", "boundary")
DIRECTORY = Path("experiments")

What = Annotated[
    list[str] | None,
    typer.Argument(
        help=f"What to list: {', '.join(KINDS)}; or a system (a name, or module:attribute of your own); "
        "or paths of experiments. Without any, all of the first.",
        show_default=False,
    ),
]


def list_(what: What = None, as_json: Json = False) -> CommandResult:
    """List experiments, and what they are written with: systems, safeguards, faults, gates, runtimes, reporters,
    and the boundary of virtual time: what is simulated, refused, and not seen."""
    from harness.cli.inventory import format_inventory

    words = what or list(KINDS)
    kinds = [word for word in KINDS if word in words]
    systems = [word for word in words if word not in KINDS and _is_system(word)]
    paths = [Path(word) for word in words if word not in KINDS and word not in systems]
    _refuse_misspelt(paths)
    if "experiments" in kinds and not paths and (what or DIRECTORY.is_dir()):
        paths.append(DIRECTORY)
    found = _inventory(kinds, systems, paths)
    text = format_inventory({kind: found[kind] for kind in KINDS if kind in found})
    echo(*text.split("\n"))
    return CommandResult(0, found)


def _inventory(kinds: list[str], named: list[str], paths: list[Path]) -> dict[str, Any]:
    """What is listed, by kind. `named`: systems that were asked for by name."""
    from harness.cli import inventory
    from harness.system import system_names

    found: dict[str, Any] = {}
    if paths:
        found["experiments"] = inventory.list_experiments(paths)
    for kind, describe in (
        ("systems", inventory.describe_system),
        ("safeguards", inventory.describe_safeguards),
    ):
        if kind in kinds or named:
            names = [*system_names(), *named] if kind in kinds else named
            found[kind] = [describe(inventory.find_valid_system(name)) for name in dict.fromkeys(names)]
    if "safeguards" in found:
        found["safeguards"] = {name: guards for one in found["safeguards"] for name, guards in one.items()}
    for kind, listed in inventory.REGISTRIES.items():
        if kind in kinds:
            found[kind] = listed()
    return found


def _is_system(word: str) -> bool:
    from harness.system import system_names

    return word in system_names() or (":" in word and not Path(word).exists())


def _refuse_misspelt(paths: list[Path]) -> None:
    """Raises UsageError for a word that is no path and nearly one of `KINDS`."""
    from harness.errors import UsageError
    from harness.text import did_you_mean

    hints = {str(path): did_you_mean(str(path), KINDS) for path in paths if not path.exists()}
    problems = [
        f"list {word}: use {', '.join(KINDS)}, a system, or a path of experiments; {hint}"
        for word, hint in hints.items()
        if hint
    ]
    if problems:
        raise UsageError(problems)
