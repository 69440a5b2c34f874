"""Arguments and options shared by commands, with their help texts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Paths = Annotated[
    list[Path], typer.Argument(help="Experiment files (*.chaos.yaml), or directories that hold some.")
]
Run = Annotated[Path, typer.Argument(help="A run directory, as printed by 'harness run'.")]
Seed = Annotated[int, typer.Option(help="Seed of everything that is drawn.", min=0)]
Seeds = Annotated[int, typer.Option(help="How many seeds to run, counted up from --seed.", min=1)]
Jobs = Annotated[
    int | None,
    typer.Option(
        help="Runs at a time, each in a process of its own; the number of cores if not given.", min=1
    ),
]
Without = Annotated[
    list[str] | None,
    typer.Option(help="Switch this safeguard off; may be given more than once. See 'harness list'."),
]
Reports = Annotated[Path, typer.Option(help="Where runs are written.", file_okay=False)]
Report = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME[=PATH]",
        help="Report in this way, too, into PATH where one is given; may be given more than once. "
        "See 'harness list reporters'.",
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="Print exactly one JSON document on stdout; progress goes to stderr.")
]
LocustPlugin = Annotated[
    list[str] | None,
    typer.Option(
        metavar="MODULE",
        help="A Python module that Locust's processes import, to listen to its events. May be repeated.",
    ),
]
