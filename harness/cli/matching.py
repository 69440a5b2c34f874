"""Which experiments `-k` and `--tag` select."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from harness.errors import UsageError

type Test = Callable[[str], bool]
"""Whether a word is true of an experiment."""

type Condition = Callable[[Test], bool]

_TOKEN = re.compile(r"\s*([()]|[^\s()]+)")


@dataclass(frozen=True, slots=True)
class Selection:
    """`expression`: words that are part of the name or of a tag, with `and`, `or`, `not` and parentheses.

    `tags`: tags that an experiment must have, or after `not` must not have; all of them count.
    """

    expression: str = ""
    tags: tuple[str, ...] = ()

    def reason(self, name: str, tags: Sequence[str]) -> str | None:
        """Why an experiment is left out, or None. Raises UsageError for an expression that is not one."""
        for tag in self.tags:
            word = tag.removeprefix("not ").strip()
            if (word in tags) == (word != tag):
                return f"--tag {tag}"
        parts = [name.lower(), *(tag.lower() for tag in tags)]
        if self.expression and not parse_expression(self.expression)(
            lambda word: any(word.lower() in part for part in parts)
        ):
            return f"-k '{self.expression}'"
        return None


def parse_expression(text: str) -> Condition:
    """Raises UsageError."""
    tokens: Iterator[str] = iter([*_TOKEN.findall(text), ""])
    parser = _Parser(text, tokens)
    condition = parser.any_of()
    if parser.token:
        parser.fail()
    return condition


class _Parser:
    def __init__(self, text: str, tokens: Iterator[str]) -> None:
        self._text = text
        self._tokens = tokens
        self.token = next(tokens)

    def any_of(self) -> Condition:
        parts = [self._all_of()]
        while self.token == "or":
            self.token = next(self._tokens)
            parts.append(self._all_of())
        return lambda test: any(part(test) for part in parts)

    def _all_of(self) -> Condition:
        parts = [self._one()]
        while self.token == "and":
            self.token = next(self._tokens)
            parts.append(self._one())
        return lambda test: all(part(test) for part in parts)

    def _one(self) -> Condition:
        token = self.token
        if token in ("", ")", "and", "or"):
            self.fail()
        self.token = next(self._tokens)
        if token == "not":
            negated = self._one()
            return lambda test: not negated(test)
        if token == "(":
            inside = self.any_of()
            if self.token != ")":
                self.fail()
            self.token = next(self._tokens)
            return inside
        return lambda test: test(token)

    def fail(self) -> None:
        found = f"found '{self.token}'" if self.token else "it ends too early"
        raise UsageError(
            [
                f"-k '{self._text}': {found}; write words with and, or, not, such as 'edge and not (loss or slow)'"
            ]
        )
