"""The one root of everything that the harness raises on purpose, and the exit codes of the command line."""

from __future__ import annotations

from typing import ClassVar

EXIT_PASSED = 0
EXIT_FAILED = 1
EXIT_INCONCLUSIVE = 2
EXIT_ERROR = 3
EXIT_USAGE = 4
EXIT_EMPTY = 5
EXIT_INTERRUPTED = 130


class HarnessError(Exception):
    """Something the harness refuses or could not do. Its message is complete and made for people.

    `exit_code`: what the `harness` command ends with when nothing handles it.
    """

    exit_code: ClassVar[int] = EXIT_ERROR
