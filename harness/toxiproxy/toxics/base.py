"""What a toxic is: attributes with ranges, and a coroutine that moves data from its input to its output."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, Self

from harness.toxiproxy.errors import InvalidAttributes
from harness.toxiproxy.toxics.stage import Stage

YEAR_MS = 365 * 24 * 60 * 60 * 1000
"""The longest delay that is accepted."""

TIB = 1 << 40
"""The largest number of bytes that is accepted."""


def attribute(low: int, high: int, default: int = 0, *, ours: bool = False) -> Any:
    """An integer attribute with its range, both ends included.

    `ours`: Toxiproxy does not have it; the API shows it only where it is not `default`.
    """
    return field(default=default, metadata={"kind": "int", "low": low, "high": high, "ours": ours})


def text_attribute(longest: int) -> Any:
    """A string attribute of at most so many characters that Toxiproxy does not have. The API shows it unless empty."""
    return field(default="", metadata={"kind": "string", "low": 0, "high": longest, "ours": True})


@dataclass(frozen=True)
class Behaviour:
    """Base of the toxics: a frozen dataclass whose fields, made by `attribute`, are what the API takes.

    One value serves every connection of a proxy; what belongs to a connection is kept in `stage.memory`.
    """

    TYPE: ClassVar[str]
    """The word for it in the API."""

    BUFFER_BYTES: ClassVar[int] = 1
    """How many bytes of input may wait before the sender is held back."""

    NEEDS_TASK: ClassVar[bool] = True
    """False for a `pipe` that awaits nothing but its stage: it runs without a task, which is several times as fast."""

    async def pipe(self, stage: Stage) -> None:
        """Move data from the stage's input to its output.

        Return when `stage.interrupted` (put back what was not written) and when `stage.ended` (the end is
        passed on afterwards), or call `stage.close()` or `stage.reset()` and return.
        """
        raise NotImplementedError

    def removed(self, stage: Stage) -> None:
        """The toxic was removed; called for every direction on which it was active."""

    def abandoned(self, stage: Stage) -> None:
        """The other direction is finished: its end was passed on, or its receiver is gone.

        A toxic that never passes anything on closes the connection here: nobody waits for it any more.
        """

    def contradictions(self) -> list[str]:
        """Mistakes between the attributes, beyond their ranges."""
        return []

    @classmethod
    def kinds(cls) -> dict[str, str]:
        """What the API takes, by name: "int" or "string"."""
        return {item.name: item.metadata["kind"] for item in fields(cls)}

    def attributes(self) -> dict[str, int | str]:
        """What the API shows."""
        return {
            item.name: getattr(self, item.name)
            for item in fields(self)
            if not item.metadata["ours"] or getattr(self, item.name) != item.default
        }

    def changed(self, attributes: Mapping[str, int | str]) -> Self:
        """A copy with some attributes changed. Raises InvalidAttributes naming every mistake."""
        new = replace(self, **attributes)
        problems = []
        for item in fields(self):
            low, high, value = item.metadata["low"], item.metadata["high"], getattr(new, item.name)
            name = f"{self.TYPE}.{item.name}"
            if isinstance(value, str):
                if len(value) > high:
                    problems.append(f"{name} must have at most {high} characters, not {len(value)}")
            elif not low <= value <= high:
                number = value if abs(value) < 1 << 63 else "a number of more than 64 bits"
                problems.append(f"{name} must be from {low} to {high}, not {number}")
        problems = problems or new.contradictions()
        if problems:
            raise InvalidAttributes(problems)
        return new


def ours(toxics: Iterable[type[Behaviour]]) -> frozenset[str]:
    """The attributes of these that Toxiproxy does not have."""
    return frozenset(item.name for toxic in toxics for item in fields(toxic) if item.metadata["ours"])
