"""What every runtime gives to the engine."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from harness.diagnostics import Code
from harness.errors import HarnessError, InvalidValue
from harness.experiment.load import Load
from harness.experiment.order import FIFO
from harness.faults.primitives import Primitives
from harness.system import Client, Clock, Host, System, Topology
from harness.workload.driver import LoadDriver


@dataclass(frozen=True, slots=True)
class RunSettings:
    """What one arm of one run is made from."""

    system: System
    seed: int
    without: frozenset[str] = frozenset()
    reference: str = ""
    """The name that `find_system` finds the system by, for runtimes that start other processes."""
    order: str = FIFO
    """In which order ready tasks take their steps, in virtual time (`harness.experiment.order`)."""


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

    def listen(self, listener: Callable[[Recorded], None]) -> None:
        """Call the listener with each row from now on, when it is recorded."""
        ...

    @property
    def failures(self) -> Sequence[ServiceFailure]: ...

    async def settle(self) -> None:
        """The load is over: report what is known only now, such as background tasks that died unnoticed."""

    @property
    def consulted_s(self) -> Mapping[str, float]:
        """By safeguard, the run time at which a service or a client first consulted it."""
        ...

    def statistics(self) -> Mapping[str, Any]:
        """Runtime figures for `environment.json` that do not depend on the machine (e.g. connections)."""
        ...


class Runtime(Protocol):
    """`run` starts all nodes (ready = listening), awaits `body(session)`, then leaves nothing behind."""

    name: str

    def run[T](self, settings: RunSettings, body: Callable[[Session], Awaitable[T]]) -> T: ...


class NotReady(HarnessError):
    """Nodes did not come up; the message says which, and why."""


class LeftBehind(HarnessError):
    """Something of a run is still there after its end; the message says what."""


def safeguards_of(settings: RunSettings) -> dict[str, bool]:
    """Every declared safeguard and whether it is on. InvalidValue for one that the system does not have."""
    declared = [safeguard.name for safeguard in settings.system.safeguards]
    unknown = sorted(settings.without - set(declared))
    if unknown:
        raise InvalidValue(
            Code.UNKNOWN_NAME,
            f"no safeguard {', '.join(unknown)} in system {settings.system.name}",
            f"it has {', '.join(declared) or 'none'}",
        )
    return {name: name not in settings.without for name in declared}


def check_ready(system: str, outcomes: Mapping[str, BaseException | None]) -> None:
    """`outcomes`: by node, what its start ended with. NotReady names every node that did not come up; any other
    error is raised as it is."""
    for outcome in outcomes.values():
        if outcome is not None and not isinstance(outcome, NotReady):
            raise outcome
    reasons = [f"{name}: {outcome}" for name, outcome in outcomes.items() if outcome is not None]
    if reasons:
        raise NotReady(
            f"system {system}: {len(reasons)} of {len(outcomes)} nodes did not come up:\n  "
            + "\n  ".join(reasons)
        )


def check_zone(client: str, zone: str, topology: Topology) -> None:
    """InvalidValue for a client in a zone that the topology does not have."""
    if zone not in topology.zones:
        raise InvalidValue(
            Code.UNKNOWN_NAME, f"client {client}: no zone '{zone}'", f"there are {', '.join(topology.zones)}"
        )
