from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.command import CommandResult, echo

Template = Annotated[
    str,
    typer.Argument(
        help="'own': a small system of your own, an experiment and a test; 'streaming': experiments on the reference "
        "streaming service."
    ),
]
Directory = Annotated[Path, typer.Argument(help="Where the files are written.", file_okay=False)]

NEXT = {"own": "experiments", "streaming": "experiments/first.chaos.yaml"}
"""What to run first."""


def init(template: Template = "own", directory: Directory = Path()) -> CommandResult:
    """Write a directory to begin with: a system, SLOs and experiments that run."""
    from harness.scaffold import write_template

    files = write_template(template, directory)
    for file in files:
        echo(file)
    print()
    if directory != Path():
        print(f"    cd {directory}")
    print(f"    harness run {NEXT[template]}")
    return CommandResult(0, {"files": [str(file) for file in files]})
