"""What the commands that run experiments report to: the reporters chosen with `--report`, and the default ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.report.registry import Reporters


@contextmanager
def reporting(
    selected: Sequence[str] | None = None, *, defaults: Sequence[str] | None = None
) -> Iterator[Reporters]:
    """The reporters print to `sys.stdout` (which is stderr with `--json`). Raises UsageError, ReporterError."""
    from harness.report.registry import open_reporters

    with open_reporters(selected or (), defaults=defaults) as reporters:
        yield reporters
