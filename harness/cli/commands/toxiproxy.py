from __future__ import annotations

from typing import Annotated

import typer

from harness.cli.command import CommandResult

PASS_ON = {"ignore_unknown_options": True, "help_option_names": []}
"""The flags are the server's own (harness/toxiproxy/command.py), `--help` among them."""


def toxiproxy(
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="serve [FLAGS]", help="'serve --help' explains the flags.")
    ] = None,
) -> CommandResult:
    """Serve a Toxiproxy-compatible proxy server."""
    from harness.errors import EXIT_USAGE as USAGE
    from harness.gates.result import EXIT_CODES, Verdict
    from harness.toxiproxy.command import EXIT_FAILED, EXIT_USAGE, main

    codes: dict[object, int] = {EXIT_FAILED: EXIT_CODES[Verdict.ERROR], EXIT_USAGE: USAGE, None: 0}
    try:
        code = main(arguments or [], program="harness toxiproxy")
    except SystemExit as end:  # how argparse ends --help and mistakes
        return CommandResult(codes.get(end.code, 0))
    return CommandResult(codes.get(code, code))
