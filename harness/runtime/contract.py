"""What every runtime gives to the engine."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from harness.experiment.model import Load
from harness.faults.primitives import Primitives
from harness.system import Client, Clock, Host, System
from harness.workload.drive import LoadDriver


@dataclass(frozen=True, slots=True)
class RunSettings:
    """What one arm of one run is made from."""

    system: System
    seed: int
    without: frozenset[str] = frozenset()
    reference: str = ""
    """The name that `load_system` finds the system by, for runtimes that start other processes."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A row as it was emitted: when (run seconds), by whom, what (`Event` or a table row)."""

    t_s: float
    host: str
    row: object


@dataclass(frozen=True, slots=True)
class ServiceFailure:
    """A service's main coroutine ended or raised although no fault made it."""

    t_s: float
    host: str
    error: str


class Session(Protocol):
    """A started system: what the engine works with inside `Runtime.run`."""

    @property
    def clock(self) -> Clock: ...

    @property
    def primitives(self) -> Primitives: ...

    def client(self, client: Client, role: str) -> AbstractAsyncContextManager[Host]:
        """Put a client on the network for the time of the block."""
        ...

    def driver(self, loads: Mapping[str, Load], *, seed: int, drain_s: float) -> LoadDriver:
        """What brings the clients of these loads. ValueError for a load that the system does not have."""
        ...

    @property
    def records(self) -> Sequence[Recorded]: ...

    @property
    def failures(self) -> Sequence[ServiceFailure]: ...

    def statistics(self) -> Mapping[str, Any]:
        """Runtime figures for `environment.json` that do not depend on the machine (e.g. connections)."""
        ...


class Runtime(Protocol):
    """`run` starts all nodes (ready = listening), awaits `body(session)`, then leaves nothing behind."""

    name: str

    def run[T](self, settings: RunSettings, body: Callable[[Session], Awaitable[T]]) -> T: ...


class NotReady(RuntimeError):
    """Nodes did not come up; the message says which, and why."""


def safeguards_of(settings: RunSettings) -> dict[str, bool]:
    """Every declared safeguard and whether it is on. ValueError for one that the system does not have."""
    declared = [safeguard.name for safeguard in settings.system.safeguards]
    unknown = sorted(settings.without - set(declared))
    if unknown:
        raise ValueError(
            f"no safeguard {', '.join(unknown)} in system {settings.system.name}; "
            f"it has {', '.join(declared) or 'none'}"
        )
    return {name: name not in settings.without for name in declared}
