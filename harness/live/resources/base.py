"""`Resource`: something that a live run puts on the machine and that must not outlive it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from harness.errors import HarnessError


class UndoFailed(HarnessError):
    """A resource cannot be undone now. It stays in the ledger, and the next clean-up tries again."""


@dataclass(frozen=True, slots=True)
class Item:
    """A single thing that was undone, or that is still there.

    `name` identifies it among those of its kind: a process id, a path, an address. `description` is for people.
    """

    kind: str
    name: str
    description: str


def names(items: Iterable[Item], kind: str) -> list[str]:
    """The names of the items of a kind."""
    return [item.name for item in items if item.kind == kind]


class Resource(BaseModel, ABC):
    """A kind of resource is a subclass with its own `kind`, registered in `harness.live.resources.KINDS`.

    Its fields say all that is needed to undo it in another process, after the harness that made it has died.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str

    @abstractmethod
    def undo(self) -> Iterator[Item]:
        """Undo it, whether it was made or not; yield what was undone. Raises UndoFailed."""

    @abstractmethod
    def remains(self) -> Iterator[Item]:
        """Look what of it is on the machine now."""
