"""The command-line options of the plugin."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.engine.runtimes import DEFAULT, RUNTIMES, all_options, runtime_options
from harness.errors import InvalidValue, UsageError
from harness.experiment.source import read_source
from harness.experiment.units import parse_duration
from harness.experiment.variables import VARS, parse_assignments
from harness.runtime.options import RuntimeOptions

if TYPE_CHECKING:
    from harness.report.registry import Reporters

PREFIX = "--chaos-"


def add_options(parser: pytest.Parser) -> None:
    group = parser.getgroup("chaos", "chaos experiments")
    group.addoption(
        f"{PREFIX}seed", type=int, metavar="N", help="seed of every experiment (default: its own, or 1)"
    )
    group.addoption(
        f"{PREFIX}reports", type=Path, default=Path("reports"), metavar="DIR", help="where runs are written"
    )
    group.addoption(
        f"{PREFIX}without",
        action="append",
        default=[],
        metavar="SAFEGUARD",
        help="switch this safeguard off; may be repeated",
    )
    group.addoption(
        f"{PREFIX}var",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="set a variable that experiments declare in 'vars'; may be repeated",
    )
    group.addoption(
        f"{PREFIX}budget",
        default=None,
        metavar="DURATION",
        help="real time that each arm of an experiment may take, such as 5m",
    )
    group.addoption(
        f"{PREFIX}report",
        action="append",
        default=[],
        metavar="NAME[=PATH]",
        help="report in this way, too (see 'harness list reporters'); may be repeated",
    )
    group.addoption(
        f"{PREFIX}runtime",
        default=DEFAULT.name,
        choices=list(RUNTIMES),
        help=f"where experiments run (default {DEFAULT.name})",
    )
    for option in all_options():
        group.addoption(
            f"{PREFIX}{option.name}",
            action="append" if option.many else "store",
            default=None,
            type=str if option.min is None else int,
            metavar=option.metavar,
            help=option.help,
        )


def seed(config: pytest.Config) -> int | None:
    """None where none is given: each experiment has its own. Raises pytest.UsageError."""
    value: int | None = config.getoption(f"{PREFIX}seed")
    if value is not None and value < 0:
        raise pytest.UsageError(f"{PREFIX}seed {value}: must be >= 0")
    return value


def without(config: pytest.Config) -> tuple[str, ...]:
    """Safeguards that are switched off."""
    return tuple(dict.fromkeys(config.getoption(f"{PREFIX}without")))


def budget_s(config: pytest.Config) -> float | None:
    """Raises pytest.UsageError."""
    text = config.getoption(f"{PREFIX}budget")
    try:
        return None if text is None else parse_duration(text)
    except InvalidValue as error:
        raise pytest.UsageError(f"{PREFIX}budget: {error}") from None


def variables(config: pytest.Config, file: Path) -> dict[str, str]:
    """Those that the file declares: others may be of other files. Raises UsageError."""
    from harness.experiment.parse import read_text

    given = parse_assignments(f"{PREFIX}var", config.getoption(f"{PREFIX}var"))
    if not given:
        return given
    declared = read_source(read_text(file, str(file)), str(file)).value.get(VARS)
    return {name: value for name, value in given.items() if isinstance(declared, dict) and name in declared}


def runtime(config: pytest.Config) -> RuntimeOptions:
    """What `--chaos-runtime` and its options ask for. Raises pytest.UsageError."""
    given = {option.name: config.getoption(f"{PREFIX}{option.name}") for option in all_options()}
    given = {name: value for name, value in given.items() if value is not None}
    try:
        chosen = runtime_options(config.getoption(f"{PREFIX}runtime"), given, prefix=PREFIX)
    except UsageError as error:
        raise pytest.UsageError(*error.problems) from None
    if problems := chosen.problems():
        raise pytest.UsageError(*problems)
    return chosen


def open_reporters(config: pytest.Config) -> AbstractContextManager[Reporters]:
    """Pages and JUnit XML, as `harness run` writes them; pytest itself reports in the terminal."""
    from harness.report.registry import open_reporters

    return open_reporters(config.getoption(f"{PREFIX}report"), defaults=("html", "junit"))
