"""Control groups in which nodes of a run get less processor time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from harness.live import cpu
from harness.live.resources.base import Item, Resource, UndoFailed


class ControlGroups(Resource):
    """The group `directory`, or, without one, every group of the run that this process can find by its name."""

    kind: Literal["control-groups"] = "control-groups"
    run: int
    directory: Path | None = None

    def undo(self) -> Iterator[Item]:
        groups = self._groups()
        remaining = cpu.remove(groups)
        for group in groups:
            if group not in remaining:
                yield Item("control-group", str(group), f"removed control group {group}")
        if remaining:
            raise UndoFailed(f"processes stay in control groups {', '.join(map(str, remaining))}")

    def remains(self) -> Iterator[Item]:
        for group in self._groups():
            yield Item("control-group", str(group), f"control group {group}")

    def _groups(self) -> list[Path]:
        groups = cpu.groups_of(self.run) if self.directory is None else [self.directory]
        return [group for group in groups if group.exists()]
