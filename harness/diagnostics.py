"""`Diagnostic`: one mistake in what a person wrote or asked for, as data. Its text is made when it is shown."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Self

from harness.text import did_you_mean, quote

type Path = tuple[str | int, ...]
"""Where a value is in a document: keys and indexes from the top."""


class Code(StrEnum):
    """The kinds of mistakes. Codes are stable: tests, editors and scripts may rely on them."""

    description: str

    def __new__(cls, value: str, description: str) -> Self:
        member = str.__new__(cls, value)
        member._value_ = value
        member.description = description
        return member

    UNREADABLE = "unreadable", "A file cannot be read: missing, too large, or not UTF-8 text."
    SYNTAX = "syntax", "A text is not the YAML that is accepted here."
    UNKNOWN_KEY = "unknown-key", "A mapping has a key that is not allowed there."
    MISSING_KEY = "missing-key", "A mapping lacks a key that it must have."
    WRONG_TYPE = "wrong-type", "A value is of another type than the one expected."
    BAD_UNIT = "bad-unit", "A quantity has no unit, or one that is not allowed there."
    BAD_VALUE = "bad-value", "A value of the right type is not one of those allowed."
    OUT_OF_RANGE = "out-of-range", "A number or a quantity is too small or too large."
    UNKNOWN_NAME = "unknown-name", "No fault, role, workload, SLO, column, ... has that name."
    DUPLICATE = "duplicate", "A key, a name or an entry is given twice."
    CONFLICT = "conflict", "Two keys or values do not go together."
    EMPTY = "empty", "Nothing is given where something is needed."
    UNUSED = "unused", "Something is declared and used nowhere."
    NO_MATCH = "no-match", "A selector matches no host, or fewer than are to be picked."
    BAD_TIMING = "bad-timing", "A fault or a gate lies outside of the time in which it can be observed."
    BAD_EXPRESSION = "bad-expression", "An SQL expression is not valid for its table."
    UNSUPPORTED = "unsupported", "The runtime, the machine or the system cannot do what is asked for."
    BAD_SYSTEM = "bad-system", "A system under test cannot be loaded, or is not valid."
    BAD_REQUEST = "bad-request", "An option or an argument of a command or a call is not valid."


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One mistake: what was found, what is allowed, and a hint such as `did you mean 'x'?`.

    `path`: what it is about, as keys and indexes; with `about_key` it is about the key, not about its value.
    `file`, `line` and `col`: where; lines and columns count from 1. Line 0 is the file as a whole, and an empty
    `file` is no file at all.
    """

    code: Code
    found: str
    allowed: str = ""
    hint: str = ""
    path: Path = ()
    about_key: bool = False
    file: str = ""
    line: int = 0
    col: int = 0

    def __str__(self) -> str:
        """`file:line:col: found; allowed; hint`."""
        place = f"{self.file}:{self.line}:{self.col}" if self.line else self.file
        text = "; ".join(part for part in (self.found, self.allowed, self.hint) if part)
        return f"{place}: {text}" if place else text

    def below(self, path: Path) -> Self:
        """The same mistake in a document that has this one at `path`."""
        return replace(self, path=(*path, *self.path))

    @property
    def order(self) -> tuple[str, int, int, str, str]:
        """What diagnostics are sorted by: file and position first."""
        return self.file, self.line, self.col, self.code.value, str(self)


def unknown_name(
    kind: str, name: str, allowed: Iterable[str], where: str = "", *, also: str = ""
) -> Diagnostic:
    """`unknown role 'x' in system y; allowed: a, b; did you mean 'a'?`.

    `where`: what has no such name. `also`: what may be given instead of one of the names.
    """
    names = list(dict.fromkeys(allowed))
    found = f"unknown {kind} {quote(name)}" + (f" in {where}" if where else "")
    choices = f"allowed: {', '.join(names) or 'none'}" + (f", or {also}" if also else "")
    return Diagnostic(Code.UNKNOWN_NAME, found, choices, did_you_mean(name, names))
