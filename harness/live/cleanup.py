"""Undoing what dead harnesses left on this machine, and proving that nothing is left."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.live import ledger
from harness.live.resources import Item, Resource, resources_of_every_run
from harness.live.run_lock import (
    RunLock,
    holder,
    ledger_file,
    own_directory,
    run_directory,
    state_directory,
    used_runs,
)


@dataclass(frozen=True, slots=True)
class CleanedRun:
    """`undone`: what was there. `left`: what is still there. `failures`: why something could not be undone."""

    run: int
    undone: tuple[Item, ...]
    left: tuple[Item, ...]
    failures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Cleanup:
    """`cleaned`: runs of dead harnesses of which something was there. `held`: runs of living harnesses (number, who),
    left alone."""

    state: Path
    cleaned: tuple[CleanedRun, ...]
    held: tuple[tuple[int, str], ...]

    @property
    def clean(self) -> bool:
        return not any(run.left for run in self.cleaned)


def cleanup(state: Path | None = None) -> Cleanup:
    """Undo every run that no living harness holds, and look again.

    LiveUnavailable when the state directory is not this user's own.
    """
    state = state_directory() if state is None else own_directory(state)
    cleaned, held = [], []
    for run, free in used_runs(state):
        if not free:
            held.append((run, holder(state, run)))
            continue
        done = clean_run(state, run)
        if done.undone or done.left or done.failures:
            cleaned.append(done)
    return Cleanup(state, tuple(cleaned), tuple(held))


def clean_run(state: Path, run: int) -> CleanedRun:
    """Undo everything of a run whose lock this process holds. What cannot be undone stays in the ledger."""
    resources = resources_of(state, run)
    undone, failed = ledger.undo(resources)
    ledger.keep(ledger_file(state, run), [resource for resource, _ in failed])
    return CleanedRun(run, tuple(undone), remains(resources), tuple(reason for _, reason in failed))


def clean_free_run(state: Path, run: int) -> bool:
    """Undo everything of a run, unless another process holds its lock: then False."""
    lock = RunLock.acquire(state, run)
    if lock is None:
        return False
    with lock:
        clean_run(state, run)
    return True


def resources_of(state: Path, run: int) -> list[Resource]:
    """What each run has, and what is in the ledger of this one."""
    implied = resources_of_every_run(run, run_directory(state, run))
    return [*implied, *ledger.read(ledger_file(state, run))]


def remains(resources: Iterable[Resource]) -> tuple[Item, ...]:
    """Look what of these resources is on the machine now; each thing once."""
    return tuple(dict.fromkeys(item for resource in resources for item in resource.remains()))


def run_remains(state: Path, run: int) -> tuple[Item, ...]:
    """Look what of a run is on the machine now."""
    return remains(resources_of(state, run))


def describe(items: Iterable[Item]) -> str:
    return ", ".join(item.description for item in items) or "nothing"
