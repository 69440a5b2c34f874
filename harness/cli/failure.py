"""`Failure`: how a command ends when an exception ends it. Mistakes of the user never end in a traceback."""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from harness.errors import EXIT_EMPTY, EXIT_ERROR, EXIT_INTERRUPTED, EXIT_USAGE, HarnessError, debugging
from harness.text import one_line

WORDS = {EXIT_USAGE: "usage", EXIT_EMPTY: "empty", EXIT_INTERRUPTED: "interrupted"}
"""The `verdict` in the document of `--json`, by exit code; `error` for every other."""


@dataclass(frozen=True, slots=True)
class Failure:
    """`lines`: what is printed on stderr."""

    exit_code: int
    lines: tuple[str, ...]

    def print(self) -> None:
        for line in self.lines:
            print(one_line(line), file=sys.stderr)

    def document(self) -> dict[str, object]:
        """What `--json` prints."""
        return {
            "verdict": WORDS.get(self.exit_code, "error"),
            "exit_code": self.exit_code,
            "diagnostics": list(self.lines),
        }


INTERRUPTED = Failure(EXIT_INTERRUPTED, ("interrupted",))


def describe_failure(error: BaseException) -> Failure:
    """Of any exception that a command raises."""
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    expected = tuple(_expected(error))
    if expected:
        lines = [line for one in expected for line in _lines(one)]
        return Failure(max(one.exit_code for one in expected), tuple(dict.fromkeys(lines)))
    if lines_of_option := describe_option_error(error):
        return Failure(EXIT_USAGE, lines_of_option)
    return Failure(EXIT_ERROR, tuple(_describe_defect(error)))


def _lines(error: HarnessError) -> list[str]:
    return [str(one) for one in error.diagnostics] or str(error).splitlines()


def _expected(error: BaseException) -> Iterator[HarnessError]:
    """The error, or those of a group of nothing else."""
    if isinstance(error, HarnessError):
        yield error
    elif isinstance(error, BaseExceptionGroup) and error.split(HarnessError)[1] is None:
        for one in error.exceptions:
            yield from _expected(one)


def _describe_defect(error: BaseException) -> Iterator[str]:
    """The traceback goes to a file, or with HARNESS_DEBUG=1 to the terminal."""
    text = "".join(traceback.format_exception(error))
    last = traceback.extract_tb(error.__traceback__)[-1:]
    at = f" at {last[0].filename}:{last[0].lineno}" if last else ""
    yield f"internal error: {type(error).__name__}: {error}{at}"
    if debugging():
        yield from text.splitlines()
    else:
        handle, name = tempfile.mkstemp(prefix="harness-traceback-", suffix=".txt")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        yield f"the traceback is in {name}; set HARNESS_DEBUG=1 to see it here"
    yield (
        "this is a defect of the harness, or of a system under test; please report it with the traceback and the "
        "command line (README.md, 'Reporting a defect')"
    )


TYPES = {"int": "a whole number", "float": "a number", "bool": "true or false"}


def describe_option_error(error: Any) -> tuple[str, ...]:
    """The lines for an exception of the option parser; none for any other exception."""
    if not hasattr(error, "format_message"):
        return ()
    message: str = error.format_message()
    if near := sorted(getattr(error, "possibilities", None) or ()):
        message = f"{error.message}; did you mean {' or '.join(near)}?"
    if (value := _describe_value(error)) is not None:
        message = value
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "harness"
    return message, f"see '{command} --help'"


def _describe_value(error: Any) -> str | None:
    """`--seed x: expected a whole number, 0 or more`, where a value is not of its option's type; else None."""
    param, cause = getattr(error, "param", None), error.__cause__
    if param is None or not hasattr(cause, "errors"):
        return None
    found = cause.errors()[0]
    bounds = _describe_bounds(param)
    expected = TYPES.get(found["type"].partition("_")[0])
    if expected is None and bounds:
        expected = TYPES["float" if isinstance(found["input"], float) else "int"]
    if expected is None:
        return None
    name = param.opts[0] if param.opts else param.name
    return f"{name} {found['input']}: expected {expected}{bounds}"


def _describe_bounds(param: Any) -> str:
    least, most = (getattr(param, name, None) for name in ("min", "max"))
    if least is None and most is None:
        return ""
    if most is None:
        return f", {least} or more"
    return f", {most} or less" if least is None else f" from {least} to {most}"
