"""The one root of everything that the harness raises on purpose, and the exit codes of the command line."""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterable
from functools import partial
from typing import Any, ClassVar

from harness.diagnostics import Code, Diagnostic, Path

EXIT_PASSED = 0
EXIT_FAILED = 1
EXIT_INCONCLUSIVE = 2
EXIT_ERROR = 3
EXIT_USAGE = 4
EXIT_EMPTY = 5
EXIT_INTERRUPTED = 130


def debugging() -> bool:
    """Whether tracebacks are to be printed: `HARNESS_DEBUG=1`."""
    return os.environ.get("HARNESS_DEBUG") == "1"


def debug(error: BaseException) -> None:
    """Print the traceback of an error that becomes one line of a result, where tracebacks are to be printed."""
    if debugging():
        traceback.print_exception(error)


class HarnessError(Exception):
    """Something the harness refuses or could not do. Its message is complete and made for people.

    `exit_code`: what the `harness` command ends with when nothing handles it. `diagnostics`: the single
    mistakes, where there are any.
    """

    exit_code: ClassVar[int] = EXIT_ERROR
    diagnostics: tuple[Diagnostic, ...] = ()


class InvalidInput(HarnessError):
    """What a person wrote or asked for is not valid. `diagnostics` holds every mistake once, sorted by position."""

    exit_code = EXIT_USAGE

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics = tuple(sorted(dict.fromkeys(diagnostics), key=lambda one: one.order))
        super().__init__("\n".join(map(str, self.diagnostics)))

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return type(self), (self.diagnostics,)


class ExperimentError(InvalidInput):
    """An experiment file, or the SLOs it refers to, is not valid."""


class UsageError(InvalidInput):
    """An option or an argument is not valid, or asks for what cannot be done.

    A plain sentence among `problems` becomes a diagnostic with the code `bad-request`.
    """

    def __init__(self, problems: Iterable[Diagnostic | str]) -> None:
        super().__init__(
            Diagnostic(Code.BAD_REQUEST, one) if isinstance(one, str) else one for one in problems
        )

    @property
    def problems(self) -> tuple[str, ...]:
        """Each diagnostic as text."""
        return tuple(map(str, self.diagnostics))


class InvalidValue(InvalidInput, ValueError):
    """A single value is not valid. Validators of pydantic models raise it: found, allowed and hint stay apart.

    `path`: the key that it is about, where a validator of a whole model raises it.
    """

    def __init__(self, code: Code, found: str, allowed: str = "", hint: str = "", *, path: Path = ()) -> None:
        super().__init__([Diagnostic(code, found, allowed, hint, path)])

    @property
    def diagnostic(self) -> Diagnostic:
        return self.diagnostics[0]

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        one = self.diagnostic
        return partial(type(self), path=one.path), (one.code, one.found, one.allowed, one.hint)
