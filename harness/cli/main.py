"""The `harness` command: runs one command line, and turns what it raises into a plain message and an exit code.

Exit codes: 0 passed, 1 failed, 2 inconclusive, 3 error, 4 usage, 5 nothing selected, 130 interrupted. A command
returns a `CommandResult` or raises; only here exceptions become exit codes. Commands import what they need when they
run, so that `harness --help` stays quick.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Annotated

import typer

from harness.cli import commands
from harness.cli.command import CommandResult, print_json, reserved_stdout
from harness.cli.failure import INTERRUPTED, Failure, describe_failure
from harness.errors import EXIT_INTERRUPTED, EXIT_USAGE

app = typer.Typer(
    name="harness",
    help="Chaos experiments for streaming systems: run them, judge them, see why.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 passed, 1 failed, 2 inconclusive, 3 error, 4 usage, 5 nothing selected, 130 interrupted.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"harness {version('streaming-resilience-harness')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Options of `harness` itself."""


for name, command in commands.ALL:
    app.command(name, context_settings=commands.CONTEXT.get(name))(command)


def main() -> None:
    """Entry point of the `harness` script and of `python -m harness`."""
    # A CI system or a container that ends a run means what Ctrl-C means: faults are undone first.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    code = invoke(sys.argv[1:])
    if any(not thread.daemon and thread is not threading.main_thread() for thread in threading.enumerate()):
        # A thread that a service has left behind must not keep the process alive.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def invoke(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code. Prints; never raises."""
    if "" not in sys.path and os.getcwd() not in sys.path:
        # As `python -m harness` has it: a system beside the experiment can be found.
        sys.path.insert(0, os.getcwd())
    if not arguments:
        _run(["--help"])
        return _report(
            Failure(EXIT_USAGE, ("no command given; 'harness COMMAND --help' explains one",))
        ).exit_code
    if "--json" not in arguments or not {"-h", "--help"}.isdisjoint(arguments):
        return _report(_run(arguments)).exit_code
    # What is printed while the command works, also by a service under test, must not spoil the one document.
    with reserved_stdout() as stdout:
        ended = _report(_run(arguments))
        with contextlib.redirect_stdout(stdout):
            print_json(ended.document)
        return ended.exit_code


def _report(ended: CommandResult | Failure) -> CommandResult:
    """Print a failure."""
    if isinstance(ended, CommandResult):
        return ended
    ended.print()
    return CommandResult(ended.exit_code, ended.document())


def _run(arguments: Sequence[str]) -> CommandResult | Failure:
    try:
        ended = app(args=list(arguments), prog_name="harness", standalone_mode=False)
    except typer.Abort:
        return INTERRUPTED
    except (Exception, KeyboardInterrupt) as error:
        return describe_failure(error)
    if isinstance(ended, CommandResult):
        return ended
    # The option parser returns an exit code for --help and --version, and for an interrupt that it has caught.
    code = ended if isinstance(ended, int) else 0
    return INTERRUPTED if code == EXIT_INTERRUPTED else CommandResult(code)
