"""What can be wrong with a history."""

from __future__ import annotations

from harness.errors import EXIT_USAGE, HarnessError


class HistoryError(HarnessError):
    """The history cannot be written or read; the message says what was found and what to do."""

    exit_code = EXIT_USAGE
