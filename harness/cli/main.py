"""The `harness` command: finds the command, turns every mistake into a plain message and an exit code.

Exit codes (DESIGN section 6): 0 passed, 1 failed, 2 inconclusive, 3 error, 4 usage, 5 nothing selected,
130 interrupted. Commands import what they need when they run, so that `harness --help` stays quick.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from harness.cli import commands
from harness.cli.outcome import Done, Stop, emit_json, internal, interrupted, tell, usage
from harness.cli.stdout import reserved_stdout
from harness.gates.result import EXIT_CODES, Verdict

app = typer.Typer(
    name="harness",
    help="Chaos experiments for streaming systems: run them, judge them, see why.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 passed, 1 failed, 2 inconclusive, 3 error, 4 usage, 5 nothing selected, 130 interrupted.",
)


def _tell_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"harness {version('streaming-resilience-harness')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Options of `harness` itself."""


for name, command in commands.ALL:
    app.command(name, context_settings=commands.CONTEXT.get(name))(command)


def main() -> None:
    """Entry point of the `harness` script and of `python -m harness`."""
    # Whoever asks a run to end (a CI system, a container) means what Ctrl-C means: faults are undone first.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(invoke(sys.argv[1:]))


def invoke(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code. Prints; never raises."""
    if "" not in sys.path and os.getcwd() not in sys.path:
        # As `python -m harness` has it: a system beside the experiment can be found.
        sys.path.insert(0, os.getcwd())
    if not arguments:
        _run(["--help"])
        return tell(usage("no command given; 'harness COMMAND --help' explains one"), as_json=False)
    if "--json" not in arguments or not {"-h", "--help"}.isdisjoint(arguments):
        ended = _run(arguments)
        return tell(ended, as_json=False) if isinstance(ended, Stop) else ended.exit_code
    # Whatever prints while the command works (a service under test, too) must not spoil the one document.
    with reserved_stdout() as stdout:
        ended = _run(arguments)
        with contextlib.redirect_stdout(stdout):
            if isinstance(ended, Stop):
                return tell(ended, as_json=True)
            emit_json(ended.document)
            return ended.exit_code


def _run(arguments: Sequence[str]) -> Done | Stop:
    try:
        ended = app(args=list(arguments), prog_name="harness", standalone_mode=False)
    except Stop as stop:
        return stop
    except (KeyboardInterrupt, typer.Abort):
        return interrupted()
    except Exception as error:
        return _usage_of(error) or internal(error)
    if isinstance(ended, Done):
        return ended
    # The option parser returns an exit code for --help and --version, and for an interrupt that it has caught.
    code = ended if isinstance(ended, int) else 0
    return interrupted() if code == EXIT_CODES[Verdict.INTERRUPTED] else Done(code)


def _usage_of(error: Any) -> Stop | None:
    """What the option parser complains of, as a usage problem; None for every other exception."""
    if not hasattr(error, "format_message"):
        return None
    message: str = error.format_message()
    near = sorted(getattr(error, "possibilities", None) or ())
    if near:
        message = f"{error.message}; did you mean {' or '.join(near)}?"
    if (value := _value_of(error)) is not None:
        message = value
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "harness"
    return usage(message, f"see '{path} --help'")


def _value_of(error: Any) -> str | None:
    """`--seed x: expected a whole number, 0 or more`, where a value is not of its option's type; else None."""
    param, cause = getattr(error, "param", None), error.__cause__
    if param is None or not hasattr(cause, "errors"):
        return None
    found = cause.errors()[0]
    expected = {"int": "a whole number", "float": "a number", "bool": "true or false"}.get(
        found["type"].partition("_")[0]
    )
    least, most = (getattr(param, name, None) for name in ("min", "max"))
    if expected is None and (least is not None or most is not None):
        expected = "a number" if isinstance(found["input"], float) else "a whole number"
    if expected is None:
        return None
    if least is not None or most is not None:
        expected += f" from {least} to {most}" if None not in (least, most) else ""
        expected += f", {least} or more" if most is None else f", {most} or less" if least is None else ""
    name = param.opts[0] if param.opts else param.name
    return f"{name} {found['input']}: expected {expected}"
