"""A fault in force. All faults are in processes and control groups of the run, and end with them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from harness.live.resources.base import Item, Resource


class Fault(Resource):
    """`undone_by`: what undoes it while the run goes on, for people."""

    kind: Literal["fault"] = "fault"
    name: str
    undone_by: str

    def undo(self) -> Iterator[Item]:
        yield Item(
            "fault", self.name, f"fault ended with its processes: {self.name} (undo: {self.undone_by})"
        )

    def remains(self) -> Iterator[Item]:
        yield from ()
