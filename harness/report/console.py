"""The terminal as the reports use it: its width, and whether it can draw progress bars."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console

MAX_WIDTH = 120
MIN_WIDTH = 80


def make_console() -> Console:
    """On `sys.stdout`: as wide as the terminal, from `MIN_WIDTH` to `MAX_WIDTH`; without one `MAX_WIDTH`."""
    console = Console(highlight=False, soft_wrap=True)
    console.width = text_width(console) if console.is_terminal else MAX_WIDTH
    return console


def text_width(console: Console) -> int:
    return max(MIN_WIDTH, min(console.width, MAX_WIDTH))


def draws_bars(console: Console, environment: Mapping[str, str]) -> bool:
    """Whether to draw bars: on a terminal, and neither NO_COLOR nor CI is set."""
    return console.is_terminal and not environment.get("NO_COLOR") and not environment.get("CI")
