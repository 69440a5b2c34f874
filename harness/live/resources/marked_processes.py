"""Every process that carries the mark of a run: what services started themselves, and what nobody wrote down."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep  # noqa: TID251 (real processes take real time to die)
from typing import Literal

from harness.live.processes import ENDS_ITSELF, environment_of, marked
from harness.live.resources.base import Item, Resource
from harness.live.resources.process import describe, kill

GONE_S = 5.0
"""How long a killed process may take until it is gone."""

ENDS_ITSELF_S = 3.0
"""How long a process may take that ends by itself."""


class MarkedProcesses(Resource):
    """`directory`: of the run, which is its mark."""

    kind: Literal["marked-processes"] = "marked-processes"
    directory: Path

    def undo(self) -> Iterator[Item]:
        """Kill them until none is found: one may be forked while the others are killed."""
        began = monotonic()
        killed = set()
        while (pids := marked(self.directory)) and monotonic() < began + GONE_S:
            for pid in pids:
                if monotonic() < began + ENDS_ITSELF_S and ENDS_ITSELF in environment_of(pid):
                    continue
                for item in kill(pid):
                    if pid not in killed:
                        killed.add(pid)
                        yield item
            sleep(0.005)

    def remains(self) -> Iterator[Item]:
        yield from (describe(pid) for pid in marked(self.directory))
