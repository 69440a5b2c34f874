"""The directory of a run: disks of its nodes, logs of its processes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from harness.live.resources.base import Item, Resource


class RunDirectory(Resource):
    kind: Literal["run-directory"] = "run-directory"
    directory: Path

    def undo(self) -> Iterator[Item]:
        if self.directory.exists():
            shutil.rmtree(self.directory, ignore_errors=True)
            yield Item("files", str(self.directory), f"removed files in {self.directory}")

    def remains(self) -> Iterator[Item]:
        if self.directory.exists():
            yield Item("files", str(self.directory), f"files in {self.directory}")
