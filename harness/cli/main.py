"""The `harness` command: finds the command, turns every mistake into a plain message and an exit code.

Exit codes (DESIGN section 6): 0 passed, 1 failed, 2 inconclusive, 3 error, 4 usage, 5 nothing selected,
130 interrupted. Commands import what they need when they run, so that `harness --help` stays quick.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import typer

from harness.cli import commands
from harness.cli.outcome import Stop, internal, interrupted, tell, usage

app = typer.Typer(
    name="harness",
    help="Chaos experiments for streaming systems: run them, judge them, see why.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 passed, 1 failed, 2 inconclusive, 3 error, 4 usage, 5 nothing selected, 130 interrupted.",
)
for name, command in commands.ALL:
    app.command(name)(command)


def main() -> None:
    """Entry point of the `harness` script and of `python -m harness`."""
    sys.exit(invoke(sys.argv[1:]))


def invoke(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code. Prints; never raises."""
    as_json = "--json" in arguments
    try:
        code = app(args=list(arguments), prog_name="harness", standalone_mode=False)
    except Stop as stop:
        return tell(stop, as_json=as_json)
    except (KeyboardInterrupt, typer.Abort):
        return tell(interrupted(), as_json=as_json)
    except Exception as error:
        return tell(_usage_of(error) or internal(error), as_json=as_json)
    return code if isinstance(code, int) else 0


def _usage_of(error: Any) -> Stop | None:
    """What the option parser complains of, as a usage problem; None for every other exception."""
    if not hasattr(error, "format_message"):
        return None
    message: str = error.format_message() or "no command; see 'harness --help'"
    near = sorted(getattr(error, "possibilities", None) or ())
    if near:
        message = f"{error.message}; did you mean {' or '.join(near)}?"
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "harness"
    return usage(message, f"see '{path} --help'")
