"""Run metadata: what happened in one arm besides its rows. Kept as `metadata.json` beside the tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class FaultRecord:
    """One fault of the timeline as it happened. Times in seconds of the run; None: it did not happen.

    `at_s`, `for_s`: as planned (`for_s` 0: instant). `error`: why it could not be applied or undone.
    """

    name: str
    fault: str
    targets: tuple[str, ...]
    at_s: float
    for_s: float
    applied_at_s: float | None
    undone_at_s: float | None
    exposure: Mapping[str, int]
    error: str | None = None


@dataclass(frozen=True, slots=True)
class InvariantRecord:
    """A condition that no row may meet (see `harness.system.Invariant`)."""

    name: str
    table: str
    violated: str
    protects: str


@dataclass(frozen=True, slots=True)
class RunMetadata:
    """`failures`: what broke without a fault breaking it (a service's main, a client's code), in words.

    `statistics` are figures of the runtime; they are not part of the history's hash.
    """

    arm: str
    without: tuple[str, ...]
    faults: tuple[FaultRecord, ...]
    failures: tuple[str, ...]
    invariants: tuple[InvariantRecord, ...]
    statistics: Mapping[str, Any] = field(default_factory=dict)

    @property
    def fault_start_s(self) -> float | None:
        """When the first fault began; None when none did."""
        return min((f.applied_at_s for f in self.faults if f.applied_at_s is not None), default=None)

    @property
    def fault_end_s(self) -> float | None:
        """When the last fault ended; None when none began."""
        ends = [
            f.applied_at_s if f.undone_at_s is None else f.undone_at_s
            for f in self.faults
            if f.applied_at_s is not None
        ]
        return max(ends, default=None)
