"""Undoing what dead harnesses left on this machine, and proving that nothing is left."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.live.ledger import (
    Cleaned,
    Remains,
    clean_slot,
    holder,
    own_directory,
    remains,
    slots,
    state_directory,
)


@dataclass(frozen=True, slots=True)
class Cleanup:
    """`held`: slots of living harnesses (slot, who), left alone. `left`: what could not be undone."""

    state: Path
    cleaned: tuple[Cleaned, ...]
    held: tuple[tuple[int, str], ...]
    left: tuple[tuple[int, Remains], ...]

    @property
    def clean(self) -> bool:
        return not self.left


def cleanup(state: Path | None = None) -> Cleanup:
    """Undo every slot that no living harness holds; then look again at processes, sockets and files.

    NoSlot when the state directory is not this user's own.
    """
    state = own_directory(state or state_directory())
    cleaned, held, left = [], [], []
    for slot, free in slots(state):
        if not free:
            held.append((slot, holder(state, slot)))
            continue
        done = clean_slot(state, slot)
        if done.found or done.killed:
            cleaned.append(done)
        if (still := remains(state, slot)).any:
            left.append((slot, still))
    return Cleanup(state, tuple(cleaned), tuple(held), tuple(left))
