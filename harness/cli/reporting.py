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
    """The reporters print to `sys.stdout` (which is stderr with `--json`). Stops with a message if one failed."""
    from harness.cli.outcome import Stop, usage
    from harness.errors import UsageError
    from harness.gates.result import EXIT_CODES, Verdict
    from harness.report.registry import open_reporters
    from harness.report.reporter import ReporterError

    try:
        with open_reporters(selected or (), defaults=defaults) as reporters:
            yield reporters
    except UsageError as error:
        raise usage(*error.problems) from error
    except (ReporterError, ExceptionGroup) as error:
        failures = error.exceptions if isinstance(error, ExceptionGroup) else (error,)
        if not all(isinstance(failure, ReporterError) for failure in failures):
            raise
        raise Stop(Verdict.ERROR.value, EXIT_CODES[Verdict.ERROR], [*map(str, failures)]) from error
