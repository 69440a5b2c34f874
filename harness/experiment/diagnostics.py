"""What is wrong with what a person wrote: where, what was found, what is allowed, what may be meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, order=True)
class Diagnostic:
    """One mistake. Lines and columns count from 1; line 0 is the file as a whole.

    `path`: what it is about, as keys and indexes; `about_key`: it is the key, whatever its value is.
    """

    file: str
    line: int
    col: int
    found: str
    allowed: str = ""
    hint: str = ""
    path: tuple[str | int, ...] = field(default=(), compare=False)
    about_key: bool = field(default=False, compare=False)

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.col}" if self.line else self.file
        return f"{place}: " + "; ".join(part for part in (self.found, self.allowed, self.hint) if part)


class ExperimentError(ValueError):
    """Everything that is wrong, at once: by file, line and column, each mistake told once."""

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics = tuple(sorted(set(diagnostics)))
        super().__init__("\n".join(map(str, self.diagnostics)))

    def __reduce__(self) -> tuple[type[ExperimentError], tuple[tuple[Diagnostic, ...]]]:
        return ExperimentError, (self.diagnostics,)


def nearest(word: str, allowed: Iterable[str]) -> str | None:
    """The allowed word that `word` most likely means, or None. Case, `-`, `_` and spaces do not count."""
    plain = {_plain(candidate): candidate for candidate in reversed(list(allowed))}
    near = difflib.get_close_matches(_plain(word), plain, n=1)
    return plain[near[0]] if near else None


def did_you_mean(word: str, allowed: Iterable[str]) -> str:
    """`did you mean 'x'?` for the nearest of the allowed words, or nothing."""
    near = nearest(word, allowed)
    return "" if near is None else f"did you mean '{near}'?"


def _plain(word: str) -> str:
    return word.lower().replace("_", "-").replace(" ", "-").strip("-")
