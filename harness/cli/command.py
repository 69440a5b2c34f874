"""What all commands share: `CommandResult`, their options, and stdout for one JSON document."""

from __future__ import annotations

import contextlib
import functools
import inspect
import json
import os
import re
import sys
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from harness.engine.runtimes import DEFAULT, RUNTIMES, all_options, runtime_options
from harness.errors import InvalidValue, UsageError
from harness.runtime.options import Option, RuntimeOptions
from harness.sli.statistics import CONFIDENCE
from harness.text import escape_json_controls, one_line

DEFAULT_MAX_SEEDS = 20
MAX_SEEDS = 10_000


@dataclass(frozen=True, slots=True)
class CommandResult:
    """The exit code of a command, and the document that `--json` prints."""

    exit_code: int
    document: Mapping[str, Any] = field(default_factory=dict)


@contextlib.contextmanager
def reserved_stdout() -> Iterator[TextIO]:
    """Yields the true stdout. Until the end, `sys.stdout` is stderr, for worker processes and C code as well.

    The file descriptor is redirected only where `sys.stdout` is the process's own (in a test it may be a buffer).
    """
    true = sys.stdout
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.redirect_stdout(sys.stderr))
        if sys.__stdout__ is None or true is not sys.__stdout__:
            yield true
            return
        true.flush()
        number = true.fileno()
        kept = os.dup(number)
        stack.callback(os.close, kept)
        os.dup2(sys.stderr.fileno(), number)
        stack.callback(os.dup2, kept, number)
        with open(kept, "w", encoding="utf-8", closefd=False) as document:
            yield document


def print_json(document: object) -> None:
    """The one document on stdout."""
    text = json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False)
    sys.stdout.write(escape_json_controls(text) + "\n")
    sys.stdout.flush()


def parse_budget(option: str, text: str | None) -> float | None:
    """Seconds. Raises UsageError."""
    if text is None:
        return None
    from harness.experiment.units import parse_duration  # imports pydantic, which --help does without

    try:
        seconds = parse_duration(text)
    except InvalidValue as error:
        raise UsageError([f"{option}: {error}"]) from None
    if seconds <= 0:
        raise UsageError([f"{option} {text}: must be > 0s"])
    return seconds


def given_seeds(first: int | None, text: str | None) -> tuple[int, ...] | None:
    """As `parse_seeds`; None where neither is given, and each experiment has its own."""
    return None if first is None and text is None else parse_seeds(1 if first is None else first, text)


def parse_seeds(first: int, text: str | None) -> tuple[int, ...]:
    """The seeds of `--seeds`: a number of them from `first` on, a range `1-10`, or a list. Raises UsageError."""
    if text is None:
        return (first,)
    found: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r" *(\d{1,9})(?:-(\d{1,9}))? *", part)
        if match is None:
            break
        low, high = int(match[1]), int(match[2] or match[1])
        if high < low or high - low >= MAX_SEEDS:
            break
        found += range(low, high + 1)
    else:
        if text.strip().isdigit():
            found = [*range(first, first + found[0])] if 0 < found[0] <= MAX_SEEDS else []
        if 0 < len(found) == len({*found}) <= MAX_SEEDS:
            return tuple(found)
    raise UsageError(
        [
            f"--seeds {text}: expected a whole number, 1 or more, a range such as 1-10, or a list such as 1,4,7-9 "
            f"without repetitions; at most {MAX_SEEDS:,} seeds",
            "see 'harness run --help'",
        ]
    )


def parse_confidence(text: str | None) -> float:
    """A share. Raises UsageError."""
    if text is None:
        return CONFIDENCE
    from harness.experiment.units import parse_ratio

    try:
        confidence = parse_ratio(text)
    except InvalidValue as error:
        raise UsageError([f"--confidence: {error}"]) from None
    if not 0.5 < confidence < 1:
        raise UsageError([f"--confidence {text}: must be > 50% and < 100%"])
    return confidence


def echo(*lines: object) -> None:
    """Print each as one line, whatever characters are in it."""
    for line in lines:
        print(one_line(str(line)))


Paths = Annotated[
    list[Path], typer.Argument(help="Experiment files (*.chaos.yaml), or directories that hold some.")
]
Matching = Annotated[
    str,
    typer.Option(
        "-k",
        metavar="EXPR",
        help="Only experiments whose name or tags have these words: 'edge and not (loss or slow)'.",
    ),
]
Tags = Annotated[
    list[str] | None,
    typer.Option(
        "--tag",
        help="Only experiments with this tag, or with 'not TAG' without it; may be given more than once.",
    ),
]
Var = Annotated[
    list[str] | None,
    typer.Option(
        "--var",
        metavar="NAME=VALUE",
        help="Set a variable that an experiment declares in 'vars'; may be given more than once.",
    ),
]
Run = Annotated[Path, typer.Argument(help="A run directory, as printed by 'harness run'.")]
Seed = Annotated[int, typer.Option(help="Seed of everything that is drawn.", min=0)]
OwnSeed = Annotated[
    int | None,
    typer.Option(
        "--seed", help="Seed of everything that is drawn; the experiment's own if not given, or 1.", min=0
    ),
]
Seeds = Annotated[
    str | None,
    typer.Option(
        metavar="SEEDS",
        help="How many seeds to run, counted up from --seed: 20; or which: 1-10 or 1,4,7-9. With several, each "
        "experiment is judged over all of them, too.",
    ),
]
UntilDecided = Annotated[
    bool,
    typer.Option(
        "--until-decided",
        help="Add seeds, counted up from --seed, until each gate is decided over all of them.",
    ),
]
MaxSeeds = Annotated[
    int | None,
    typer.Option(help=f"The most seeds that --until-decided runs; {DEFAULT_MAX_SEEDS} if not given.", min=1),
]
Confidence = Annotated[
    str | None,
    typer.Option(
        metavar="SHARE", help="Confidence of each claim over several seeds, such as 99%; 95% if not given."
    ),
]
Jobs = Annotated[
    int | None,
    typer.Option(
        help="Runs at a time, each in a process of its own; the number of cores if not given.", min=1
    ),
]
CheckDeterminism = Annotated[
    bool,
    typer.Option(
        "--check-determinism",
        help="Run every arm a second time, with another hash seed and allocator; name the first event that "
        "differs.",
    ),
]
Without = Annotated[
    list[str] | None,
    typer.Option(help="Switch this safeguard off; may be given more than once. See 'harness list'."),
]
Budget = Annotated[
    str | None,
    typer.Option(
        metavar="DURATION",
        help="Real time that each arm of a run may take, such as 5m; then it is ended, and its verdict is error. By "
        "default what the experiment says, or 10 minutes more than its run time.",
    ),
]
SuiteBudget = Annotated[
    str | None,
    typer.Option(
        metavar="DURATION",
        help="Real time that all runs together may take. By default as long as their own budgets allow.",
    ),
]
Reports = Annotated[Path, typer.Option(help="Where runs are written.", file_okay=False)]
Report = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME[=PATH]",
        help="Report in this way, too, into PATH where one is given; may be given more than once. "
        "See 'harness list reporters'; one of your own may be given as module:attribute.",
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


def takes_runtime(
    *, default: str | None = DEFAULT.name, only: str | None = None
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command `--runtime` and the options of every runtime, in place of its parameter `runtime`.

    The command gets one value, or None where `default` is None and `--runtime` was not given. `only`: the one runtime
    that the command is for; then there is no `--runtime`.
    """
    names = (only,) if only is not None else tuple(RUNTIMES)

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        own = list(inspect.signature(command).parameters.values())
        hints = typing.get_type_hints(command, include_extras=True)
        added = [] if only is not None else [_runtime_parameter(default)]
        added += [_parameter(option) for option in all_options(names)]
        parameters: list[inspect.Parameter] = []
        for one in own:
            if one.name == "runtime":
                parameters += added
            else:
                kind = inspect.Parameter.KEYWORD_ONLY
                parameters.append(one.replace(annotation=hints[one.name], kind=kind))

        @functools.wraps(command)
        def called(**arguments: Any) -> Any:
            name = only or arguments.pop("runtime")
            given = {option.name: arguments.pop(_python_name(option)) for option in all_options(names)}
            return command(runtime=_value(name, given, names), **arguments)

        # What typer looks at.
        called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        called.__annotations__ = {one.name: one.annotation for one in parameters}
        return called

    return decorate


def _value(name: str | None, given: Mapping[str, Any], names: Iterable[str]) -> RuntimeOptions | None:
    """Raises UsageError."""
    chosen = {option: value for option, value in given.items() if value not in (None, [])}
    if name is None and not chosen:
        return None
    return runtime_options(name or DEFAULT.name, chosen, allowed=names)


def _runtime_parameter(default: str | None) -> inspect.Parameter:
    what = ", or ".join(f"'{name}', {options.summary}" for name, options in RUNTIMES.items())
    otherwise = "" if default is not None else f" By default where each experiment says, or '{DEFAULT.name}'."
    option = typer.Option("--runtime", help=f"Where to run: {what}.{otherwise}")
    return _keyword("runtime", str | None if default is None else str, option, default)


def _parameter(option: Option) -> inspect.Parameter:
    kind: Any = str if option.min is None else int
    kind = list[kind] if option.many else kind
    names = [name for name, options in RUNTIMES.items() if option in options.options]
    given = typer.Option(
        f"--{option.name}",
        help=option.help,
        metavar=option.metavar,
        min=option.min,
        rich_help_panel=f"Options of --runtime {' or '.join(names)}",
    )
    return _keyword(_python_name(option), kind | None, given, None)


def _keyword(name: str, kind: Any, option: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, option]
    )


def _python_name(option: Option) -> str:
    return option.name.replace("-", "_")
