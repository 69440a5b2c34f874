"""`RunContext`: what the parts of one live run share in the harness's own process."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from harness.live.host import LiveClock
from harness.runtime.contract import RunSettings
from harness.runtime.journal import Journal, report_context
from harness.system import Row, System

SETTLE_S = 2.0
"""Run time 0 is so long after the nodes are launched, and more with many nodes."""

SETTLE_PER_NODE_S = 0.15
"""Processor time of a node's start, with room for a busy machine."""

HARNESS = "the harness"
"""The host of failures that are not a service's."""


@dataclass(frozen=True, slots=True)
class RunContext:
    """For hosts, a `harness.live.host.LiveContext`.

    `origin_s`: run time 0 on the machine's monotonic clock. `attempts`: connection attempts by node.
    """

    settings: RunSettings
    safeguards: Mapping[str, bool]
    origin_s: float
    clock: LiveClock
    journal: Journal
    attempts: Counter[str]

    @property
    def system(self) -> System:
        return self.settings.system

    def emit(self, host: str, row: Row) -> None:
        self.journal.emit(host, row)

    def misuse(self, host: str, error: str) -> None:
        self.journal.misuse(host, error)

    def fail(self, reason: str) -> None:
        """Record that the harness itself has failed."""
        self.journal.fail(HARNESS, reason)

    def exception_handler(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """For `loop.set_exception_handler`: errors in the background of clients, or of the harness itself."""
        report_context(partial(self.journal.unhandled, HARNESS), context)


def begin_run(settings: RunSettings, safeguards: Mapping[str, bool]) -> RunContext:
    """A context whose run time 0 leaves enough time to start the nodes."""
    busy_s = SETTLE_PER_NODE_S * len(settings.system.topology.nodes) / (os.cpu_count() or 1)
    origin_s = asyncio.get_running_loop().time() + SETTLE_S + busy_s
    clock = LiveClock(origin_s)
    return RunContext(settings, safeguards, origin_s, clock, Journal(clock.now), attempts=Counter())
