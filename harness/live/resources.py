"""What a live run puts on the machine, and how each is undone. A new kind is a class here and its place in `KINDS`."""

from __future__ import annotations

import os
import shutil
import signal
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep  # noqa: TID251 (real processes take real time to die)
from typing import Literal, Self

import psutil
from pydantic import BaseModel, ConfigDict

from harness.errors import HarnessError
from harness.live import cpu
from harness.live.external_proxies import proxies_named, remove_proxies
from harness.live.kernel.namespaces import held
from harness.live.processes import ENDS_ITSELF, command, environment_of, marked, started


class UndoFailed(HarnessError):
    """A resource cannot be undone now. It stays in the ledger, and the next clean-up tries again."""


@dataclass(frozen=True, slots=True)
class Item:
    """A single thing that was undone, or that is still there.

    `name` identifies it among those of its kind: a process id, a path, an address. `description` is for people.
    """

    kind: str
    name: str
    description: str


def names(items: Iterable[Item], kind: str) -> list[str]:
    """The names of the items of a kind."""
    return [item.name for item in items if item.kind == kind]


class Resource(BaseModel, ABC):
    """A kind of resource is a subclass with its own `kind`, registered in `harness.live.resources.KINDS`.

    Its fields say all that is needed to undo it in another process, after the harness that made it has died.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str

    @abstractmethod
    def undo(self) -> Iterator[Item]:
        """Undo it, whether it was made or not; yield what was undone. Raises UndoFailed."""

    @abstractmethod
    def remains(self) -> Iterator[Item]:
        """Look what of it is on the machine now."""


class Process(Resource):
    """`started`: clock ticks since boot, because the id is used again. None: it had ended when it was written down."""

    kind: Literal["process"] = "process"
    pid: int
    started: int | None
    name: str

    @classmethod
    def of(cls, pid: int, name: str) -> Self:
        """A process that runs now."""
        return cls(pid=pid, started=started(pid), name=name)

    def undo(self) -> Iterator[Item]:
        # One that ends by itself is given time first: `MarkedProcesses`.
        if self._runs() and ENDS_ITSELF not in environment_of(self.pid):
            yield from kill(self.pid)

    def remains(self) -> Iterator[Item]:
        if self._runs():
            yield describe(self.pid)

    def _runs(self) -> bool:
        return self.started is not None and started(self.pid) == self.started


def describe(pid: int, done: str = "") -> Item:
    return Item("process", str(pid), f"{done}process {pid} ({command(pid)})")


def kill(pid: int) -> Iterator[Item]:
    """SIGKILL; yields the process unless it has ended."""
    item = describe(pid, "killed ")
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    yield item


GONE_S = 5.0
"""How long a killed process may take to end."""

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


class NetworkNamespaces(Resource):
    """`inodes`: by name; they identify a namespace as long as it lives."""

    kind: Literal["network-namespaces"] = "network-namespaces"
    inodes: Mapping[str, int]

    def undo(self) -> Iterator[Item]:
        yield from ()

    def remains(self) -> Iterator[Item]:
        """Those that this process is in or holds open. Every other process that could is a process of the run."""
        for inode in sorted(held(frozenset(self.inodes.values()))):
            yield Item("network-namespace", str(inode), f"the network namespace {inode}")


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


class ExternalProxies(Resource):
    """All proxies on the server at `url` whose names begin with `prefix`."""

    kind: Literal["external-proxies"] = "external-proxies"
    url: str
    prefix: str

    def undo(self) -> Iterator[Item]:
        try:
            for name in remove_proxies(self.url, self.prefix):
                yield Item("proxy", name, f"removed proxy {name} from {self.url}")
        except (OSError, ValueError) as error:
            raise UndoFailed(f"proxies named {self.prefix}... on {self.url}: {error}") from error

    def remains(self) -> Iterator[Item]:
        try:
            found = proxies_named(self.url, self.prefix)
        except (OSError, ValueError) as error:
            name = f"{self.prefix}... on {self.url}"
            yield Item("proxy", name, f"possibly proxies named {name}: {error}")
            return
        for name in found:
            yield Item("proxy", name, f"proxy {name} on {self.url}")


class LoopbackAddresses(Resource):
    """127.`run`.0.0 to 127.`run`.255.255."""

    kind: Literal["loopback-addresses"] = "loopback-addresses"
    run: int

    def undo(self) -> Iterator[Item]:
        yield from ()

    def remains(self) -> Iterator[Item]:
        for connection in psutil.net_connections("tcp4"):
            if connection.status != psutil.CONN_LISTEN or not connection.laddr:
                continue
            ip, port = connection.laddr
            if ip.startswith(f"127.{self.run}."):
                address = f"{ip}:{port}"
                yield Item("listener", address, f"a listener at {address}")


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


__all__ = [
    "KINDS",
    "ControlGroups",
    "ExternalProxies",
    "Fault",
    "Item",
    "LoopbackAddresses",
    "MarkedProcesses",
    "NetworkNamespaces",
    "Process",
    "Resource",
    "RunDirectory",
    "UndoFailed",
    "names",
    "resources_of_every_run",
]

KINDS: tuple[type[Resource], ...] = (
    Process,
    MarkedProcesses,
    NetworkNamespaces,
    ControlGroups,
    Fault,
    ExternalProxies,
    LoopbackAddresses,
    RunDirectory,
)
"""In the order in which they are undone: processes first, for they hold the rest."""


def resources_of_every_run(run: int, directory: Path) -> tuple[Resource, ...]:
    """What each run has, and what is known without a ledger."""
    return (
        MarkedProcesses(directory=directory),
        ControlGroups(run=run),
        LoopbackAddresses(run=run),
        RunDirectory(directory=directory),
    )
