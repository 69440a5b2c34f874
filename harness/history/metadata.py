"""Run metadata: what happened in one arm besides its rows. Kept as `metadata.json` beside the tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from harness.errors import EXIT_ERROR, EXIT_USAGE, HarnessError
from harness.faults.exposure import Exposure
from harness.history.files import ENVIRONMENT


class HistoryError(HarnessError):
    """The history cannot be written or read; the message says what was found and what to do."""

    exit_code = EXIT_USAGE


class BrokenHistory(HistoryError):
    """A run directory has lost a part of what was recorded, or it was changed so that it cannot be read."""

    exit_code = EXIT_ERROR


@dataclass(frozen=True, slots=True)
class FaultRecord:
    """One fault of the timeline as it happened. Times in seconds of the run; None: it did not happen.

    `at_s`, `for_s`: as planned (`for_s` 0: instant). `error`: why it could not be applied or undone. `when`: the
    event that it waited for.
    """

    name: str
    fault: str
    targets: tuple[str, ...]
    at_s: float
    for_s: float
    applied_at_s: float | None
    undone_at_s: float | None
    exposure: Exposure
    error: str | None = None
    when: str | None = None


@dataclass(frozen=True, slots=True)
class InvariantRecord:
    """A condition that no row may meet (see `harness.system.Invariant`)."""

    name: str
    table: str
    violated: str
    protects: str


@dataclass(frozen=True, slots=True)
class MatchRecord:
    """To every key of one table belong `times` rows of another (see `harness.system.MatchInvariant`)."""

    name: str
    table: str
    key: str
    where: str
    at: str
    in_table: str
    in_key: str
    in_where: str
    in_at: str
    times: int
    within_s: float
    protects: str = ""


@dataclass(frozen=True, slots=True)
class StopRecord:
    """Why a run was stopped early, `at_s` seconds into it.

    `kind`: a condition of `abort_if` was breached ("abort"), or the steady state was refuted before any fault ("ill").
    """

    at_s: float
    kind: Literal["abort", "ill"]
    reason: str


@dataclass(frozen=True, slots=True)
class RunMetadata:
    """`failures`: what broke without a fault breaking it (a service's main, a client's code), in words.

    `groups`: the groups of the clients that the load lets arrive, sorted; empty where that is not known. They follow
    from the load and the seed, so they are not part of the history's hash.
    `fault_zones`: the zones that the targets of the faults are in, sorted; they follow from the plan, too.
    `stopped`: None for a run that came to its end.
    `consulted_s`: by safeguard, when code first consulted it; None where that was not recorded. It is not part of the
    history's hash either.
    `statistics` are figures of the runtime; they are not part of the history's hash.
    """

    arm: str
    without: tuple[str, ...]
    faults: tuple[FaultRecord, ...]
    failures: tuple[str, ...]
    invariants: tuple[InvariantRecord | MatchRecord, ...]
    statistics: Mapping[str, Any] = field(default_factory=dict)
    groups: tuple[str, ...] = ()
    stopped: StopRecord | None = None
    fault_zones: tuple[str, ...] = ()
    consulted_s: Mapping[str, float] | None = None

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


class ArmPlace(BaseModel):
    """An ablation arm and where its history is, relative to the run directory."""

    model_config = ConfigDict(frozen=True)

    name: str
    directory: str


class Environment(BaseModel):
    """How an arm was run. Paths are as the command line shows them. `arguments`: how the runtime was set up.

    `history_sha256`, `rows` and `files` are filled in when the history is written: the hash of all rows, the
    number of rows in each table, and the SHA-256 of each file (see `harness.history.files`).
    """

    model_config = ConfigDict(frozen=True)

    experiment: str
    file: str
    slos_file: str | None
    system: str
    runtime: str
    arguments: tuple[str, ...] = ()
    seed: int
    without: tuple[str, ...]
    arm: str
    arms: tuple[ArmPlace, ...]
    targets: Mapping[str, tuple[str, ...]]
    run: str
    replay: str
    versions: Mapping[str, str]
    history_sha256: str = ""
    rows: Mapping[str, int] = {}
    files: Mapping[str, str] | None = None


def read_environment(directory: Path) -> Environment:
    """Of a run directory or of an arm in it. Raises OSError, ValueError."""
    return Environment.model_validate_json((directory / ENVIRONMENT).read_bytes())
