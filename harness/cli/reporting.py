"""The handlers of engine events that a command line has: files of the suite, the terminal, GitHub."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from harness.engine.events import Handler


@contextmanager
def reporting(environment: Mapping[str, str] = os.environ) -> Iterator[list[Handler]]:
    """All print to `sys.stdout` (which is stderr with `--json`). Progress bars are gone when the block ends."""
    from harness.report import github
    from harness.report.artifacts import write_suite
    from harness.report.terminal import TerminalReporter, lively

    console = make_console()
    terminal = TerminalReporter(console, live=lively(console, environment))
    # The files first: the terminal's last lines name them.
    handlers: list[Handler] = [write_suite, terminal]
    if github.active(environment):
        handlers.append(github.GitHubReporter(sys.stdout, environment))
    try:
        yield handlers
    finally:
        terminal.stop()


def make_console() -> Console:
    """As wide as the terminal, within reason; without a terminal as wide as the tables like it."""
    from rich.console import Console

    from harness.report.terminal import WIDTH_LEAST, WIDTH_MOST

    console = Console(highlight=False, soft_wrap=True)
    width = console.width if console.is_terminal else WIDTH_MOST
    console.width = max(WIDTH_LEAST, min(width, WIDTH_MOST))
    return console
