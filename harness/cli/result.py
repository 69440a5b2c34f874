"""`CommandResult`: what a command returns."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TextIO


@dataclass(frozen=True, slots=True)
class CommandResult:
    """The exit code of a command, and the document that `--json` prints."""

    exit_code: int
    document: Mapping[str, Any] = field(default_factory=dict)


@contextlib.contextmanager
def reserved_stdout() -> Iterator[TextIO]:
    """Yields the true stdout. Until the end, `sys.stdout` is stderr, for worker processes and C code as well.

    The file descriptor is redirected only where `sys.stdout` is the process's own (in a test it may be a buffer).
    """
    true = sys.stdout
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.redirect_stdout(sys.stderr))
        if sys.__stdout__ is None or true is not sys.__stdout__:
            yield true
            return
        true.flush()
        number = true.fileno()
        kept = os.dup(number)
        stack.callback(os.close, kept)
        os.dup2(sys.stderr.fileno(), number)
        stack.callback(os.dup2, kept, number)
        with open(kept, "w", encoding="utf-8", closefd=False) as document:
            yield document


def print_json(document: object) -> None:
    """The one document on stdout."""
    sys.stdout.write(json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False) + "\n")
    sys.stdout.flush()
