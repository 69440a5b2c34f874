"""How a command ends when it cannot give a verdict: what is printed, and with which exit code.

Mistakes of the user end in one plain message, never in a traceback. With `--json` the one document on stdout
says the same.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import EXIT_EMPTY, EXIT_USAGE
from harness.gates.result import EXIT_CODES, Verdict


@dataclass(frozen=True, slots=True)
class Done:
    """What a command returns: its exit code, and the document that `--json` prints."""

    exit_code: int
    document: Mapping[str, Any] = field(default_factory=dict)


class Stop(Exception):
    """Ends the command: `verdict` is the word in the JSON document, `diagnostics` the lines to print."""

    def __init__(self, verdict: str, exit_code: int, diagnostics: Sequence[str]) -> None:
        super().__init__("\n".join(diagnostics))
        self.verdict = verdict
        self.exit_code = exit_code
        self.diagnostics = tuple(diagnostics)


def usage(*diagnostics: str) -> Stop:
    """The user asked for something that is not valid (exit 4)."""
    return Stop("usage", EXIT_USAGE, diagnostics)


def empty(*diagnostics: str) -> Stop:
    """Nothing was selected (exit 5): never green by absence."""
    return Stop("empty", EXIT_EMPTY, diagnostics)


def interrupted() -> Stop:
    return Stop("interrupted", EXIT_CODES[Verdict.INTERRUPTED], ("interrupted",))


def internal(error: BaseException) -> Stop:
    """A defect (exit 3): one clear block; the traceback goes to a file, or with HARNESS_DEBUG=1 here."""
    text = "".join(traceback.format_exception(error))
    last = traceback.extract_tb(error.__traceback__)[-1:]
    at = f" at {last[0].filename}:{last[0].lineno}" if last else ""
    lines = [f"internal error: {type(error).__name__}: {error}{at}"]
    if os.environ.get("HARNESS_DEBUG") == "1":
        lines.append(text.rstrip())
    else:
        handle, name = tempfile.mkstemp(prefix="harness-traceback-", suffix=".txt")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        lines.append(f"the traceback is in {name}; set HARNESS_DEBUG=1 to see it here")
    lines.append(
        "this is a defect of the harness, or of a system under test; please report it with the traceback and the "
        "command line (README.md, 'Reporting a defect')"
    )
    return Stop(Verdict.ERROR.value, EXIT_CODES[Verdict.ERROR], lines)


def tell(stop: Stop, *, as_json: bool) -> int:
    """Print the end of the command and return its exit code."""
    for line in stop.diagnostics:
        print(line, file=sys.stderr)
    if as_json:
        emit_json(
            {"verdict": stop.verdict, "exit_code": stop.exit_code, "diagnostics": list(stop.diagnostics)}
        )
    return stop.exit_code


def emit_json(document: object) -> None:
    """The one document on stdout."""
    sys.stdout.write(json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def shown(path: Path | str) -> str:
    """A path as a person would type it: relative to the working directory where it lies below it."""
    path = Path(path)
    try:
        return path.resolve().relative_to(Path.cwd()).as_posix() or "."
    except ValueError:
        return str(path)
