"""What can be wrong with a history."""

from __future__ import annotations


class HistoryError(RuntimeError):
    """The history cannot be written or read; the message says what was found and what to do."""
