"""What is wrong with what a person wrote: where, what was found, what is allowed, what may be meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Diagnostic:
    """One problem. Lines and columns count from 1; line 0 is the file as a whole."""

    file: str
    line: int
    col: int
    found: str
    allowed: str = ""
    hint: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.col}" if self.line else self.file
        return f"{place}: " + "; ".join(part for part in (self.found, self.allowed, self.hint) if part)


class SpecError(ValueError):
    """Everything that is wrong, at once, in the order of the files and their lines."""

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics = tuple(sorted(dict.fromkeys(diagnostics)))
        super().__init__("\n".join(map(str, self.diagnostics)))

    def __reduce__(self) -> tuple[type[SpecError], tuple[tuple[Diagnostic, ...]]]:
        return SpecError, (self.diagnostics,)


def did_you_mean(word: str, allowed: Iterable[str]) -> str:
    """`did you mean 'x'?` for the nearest of the allowed words, or nothing."""
    near = difflib.get_close_matches(word, list(allowed), n=1)
    return f"did you mean '{near[0]}'?" if near else ""
