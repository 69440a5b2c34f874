"""What a toxic is: attributes with ranges, and a coroutine that moves data from its input to its output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

if TYPE_CHECKING:
    from harness.toxiproxy.stage import Stage

YEAR_MS = 365 * 24 * 60 * 60 * 1000
"""The longest delay that is accepted: as good as for ever."""

TIB = 1 << 40
"""The largest number of bytes that is accepted."""


def attribute(low: int, high: int, default: int = 0) -> Any:
    """A whole number that a toxic takes, with its range, both ends included."""
    return field(default=default, metadata={"low": low, "high": high})


@dataclass(frozen=True)
class Behaviour:
    """Base of the toxics: a frozen dataclass whose fields, made by `attribute`, are what the API takes.

    One value serves every connection of a proxy; what belongs to a connection is kept in `stage.memory`.
    """

    TYPE: ClassVar[str]
    """The word for it in the API."""

    BUFFER_BYTES: ClassVar[int] = 1
    """How much input may wait in front of it before the sender is held back."""

    async def pipe(self, stage: Stage) -> None:
        """Move data from the stage's input to its output.

        Return when `stage.interrupted` (put back what was not written) and when `stage.ended` (the end is
        passed on afterwards), or call `stage.close()` or `stage.reset()` and return.
        """
        raise NotImplementedError

    def removed(self, stage: Stage) -> None:
        """The toxic was taken away; called for every direction on which it was active."""

    def contradictions(self) -> list[str]:
        """What is wrong between the attributes, beyond their ranges."""
        return []

    @classmethod
    def names(cls) -> tuple[str, ...]:
        return tuple(item.name for item in fields(cls))

    def attributes(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in self.names()}

    def changed(self, attributes: Mapping[str, int]) -> Self:
        """A copy with some attributes changed. Raises ValueError naming everything that is out of range."""
        new = replace(self, **attributes)
        problems = []
        for item in fields(self):
            low, high, value = item.metadata["low"], item.metadata["high"], getattr(new, item.name)
            if not low <= value <= high:
                shown = value if abs(value) < 1 << 63 else "a number of more than 64 bits"
                problems.append(f"{self.TYPE}.{item.name} must be from {low} to {high}, not {shown}")
        problems = problems or new.contradictions()
        if problems:
            raise ValueError("; ".join(problems))
        return new
