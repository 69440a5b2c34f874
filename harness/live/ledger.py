"""Leases: everything that a live run puts on the machine is written down before it is put there.

A run holds one slot: the loopback addresses 127.N.x.y, and a directory below the state directory, for as long as
the harness lives. The kernel drops the hold when the harness dies, whatever killed it; then the slot's processes
die too (PR_SET_PDEATHSIG), and its warden undoes the rest. Should that be killed as well, whoever comes next does,
a run or `harness cleanup`.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import socket
import stat
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from time import monotonic, sleep  # noqa: TID251 (real processes take real time to die)
from typing import IO, Any, Self

from harness.live import cpu
from harness.live.external_proxies import ours, remove
from harness.live.kernel.namespaces import held
from harness.live.pdeathsig import command, marked, started
from harness.live.watchdog import watched
from harness.runtime.contract import LeftBehind

STATE_VARIABLE = "HARNESS_LIVE_STATE"
FIRST, LAST = 64, 127
"""Slots, by the second number of their loopback addresses."""

GONE_S = 5.0
"""How long a killed process may take until it is gone."""

ENDS_ITSELF_S = 3.0
"""How long one may take that ends by itself."""


class NoSlot(RuntimeError):
    """No live run can be started on this machine now; the message says why."""


def state_directory() -> Path:
    """Where slots are: `$HARNESS_LIVE_STATE`, or a directory of this user's among the temporary ones."""
    given = os.environ.get(STATE_VARIABLE)
    return Path(given) if given else Path(tempfile.gettempdir()) / f"harness-live-{os.getuid()}"


class Lease:
    """A slot that this process holds, and the file in which it writes down what it does."""

    def __init__(self, slot: int, directory: Path) -> None:
        self.slot = slot
        self.directory = directory
        self._file = open(directory / "lease.jsonl", "a", encoding="utf-8")  # noqa: SIM115
        self._faults = 0
        self._note({"harness": os.getpid(), "started": started(os.getpid()), "command": command(os.getpid())})

    def address(self, number: int) -> str:
        """The slot's `number`-th loopback address; 0 is where the proxies listen."""
        if not 0 <= number < 65_000:
            raise NoSlot(f"{number} nodes are more than a live run has addresses for")
        return f"127.{self.slot}.{(number + 1) >> 8}.{(number + 1) & 255}"

    def process(self, pid: int, what: str, *, ends_itself: bool = False) -> None:
        """A process of this run. (It also carries the run's mark, from before it was noted.) `ends_itself`: it sees
        the end of the harness, and is given some time for what it has left to do."""
        self._note({"process": pid, "started": started(pid), "what": what, "ends_itself": ends_itself})

    def namespaces(self, inodes: Mapping[str, int]) -> None:
        """Network namespaces of this run: what they are known by, as long as they live."""
        self._note({"namespaces": dict(inodes)})

    def proxies(self, url: str, prefix: str) -> None:
        """Write down, before one is made, that proxies named `prefix...` will be made on a server that outlives us."""
        self._note({"toxiproxy": url, "prefix": prefix})

    def fault(self, what: str, undo: str) -> int:
        """Write down a fault and how to undo it, before it is applied. Returns its number."""
        self._faults += 1
        self._note({"fault": self._faults, "what": what, "undo": undo})
        return self._faults

    def undone(self, fault: int) -> None:
        self._note({"undone": fault})

    def cgroup(self, directory: Path) -> None:
        """Write down a control group, before it is made."""
        self._note({"cgroup": str(directory)})

    def log(self, name: str) -> IO[bytes]:
        """Where a process of this run prints, opened to append."""
        return open(self.directory / "logs" / f"{name}.log", "ab")

    def logged(self, name: str, lines: int = 12) -> str:
        """The last lines that a process has printed; empty if there are none."""
        try:
            text = (self.directory / "logs" / f"{name}.log").read_text(errors="replace")
        except FileNotFoundError:
            return ""
        return "\n".join(text.splitlines()[-lines:])

    def _note(self, what: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(what) + "\n")
        self._file.flush()


@contextmanager
def hold_slot(state: Path | None = None) -> Iterator[Lease]:
    """Hold a free slot; what a dead harness left in it is undone first. Gives it back clean.

    NoSlot when none is free, or when the state directory is not this user's own. At the end, LeftBehind when
    something of the run is still there although everything was stopped.
    """
    state = own_directory(state or state_directory())
    reasons = []
    for slot in range(FIRST, LAST + 1):
        lock = _lock(state, slot)
        if lock is None:
            continue
        with lock:
            clean_slot(state, slot)
            if (left := remains(state, slot)).any:
                # Somebody else's, who listens there; or what cannot be killed.
                reasons.append(f"slot {slot} has {left}")
                continue
            # The warden first, and until everything is proven gone: nothing is left, whatever happens meanwhile.
            with watched(state, slot) as warden:
                try:
                    with _begun(state, slot) as lease:
                        yield lease
                finally:
                    done = clean_slot(state, slot)
                    left = remains(state, slot, done.namespaces)
                    # Not when cleaning was broken off, by an impatient Ctrl-C: then it is the warden's.
                    warden.dismiss()
            if left.any:
                raise LeftBehind(f"after the run, this was still there: {left}")
            return
    others = f" ({'; '.join(reasons)})" if reasons else ""
    raise NoSlot(f"all {LAST - FIRST + 1} slots in {state} are in use{others}; wait for a live run to end")


@contextmanager
def _begun(state: Path, slot: int) -> Iterator[Lease]:
    directory = _directory(state, slot)
    for name in ("disks", "logs"):
        (directory / name).mkdir(parents=True)
    lease = Lease(slot, directory)
    try:
        yield lease
    finally:
        lease._file.close()


@dataclass(frozen=True, slots=True)
class Remains:
    """What there is of a slot: processes by id and command, listening sockets, files, control groups, and network
    namespaces that this process still keeps (nobody else could: they have no names, and go with the run's
    processes)."""

    processes: tuple[tuple[int, str], ...] = ()
    listeners: tuple[str, ...] = ()
    directory: Path | None = None
    namespaces: tuple[int, ...] = ()
    cgroups: tuple[Path, ...] = ()
    proxies: tuple[str, ...] = ()
    """On another server, which does not let them be removed."""

    @property
    def any(self) -> bool:
        return any(getattr(self, item.name) for item in fields(self))

    def __str__(self) -> str:
        parts = [f"process {pid} ({what})" for pid, what in self.processes]
        parts += [f"a listener at {where}" for where in self.listeners]
        parts += [f"the network namespace {inode}" for inode in self.namespaces]
        parts += [f"files in {self.directory}"] if self.directory else []
        parts += [f"control group {group}" for group in self.cgroups]
        parts += self.proxies
        return ", ".join(parts) or "nothing"


def remains(state: Path, slot: int, namespaces: frozenset[int] = frozenset()) -> Remains:
    """Look what is there: at processes, at the kernel's list of listening sockets, at files, at control groups; at
    `namespaces` that this process may still be in or hold open."""
    directory = _directory(state, slot)
    return Remains(
        tuple((pid, command(pid)) for pid in marked(directory)),
        tuple(_listeners(slot)),
        directory if directory.exists() else None,
        tuple(sorted(held(namespaces))),
        cpu.left_of(slot),
        tuple(_proxies_left(directory)),
    )


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What was undone in a slot: `killed` processes, `faults` that were in force (what, undo)."""

    slot: int
    killed: tuple[tuple[int, str], ...]
    faults: tuple[tuple[str, str], ...]
    found: bool
    namespaces: frozenset[int] = frozenset()
    proxies: tuple[str, ...] = ()
    """Removed from another server, by name."""
    cgroups: tuple[Path, ...] = ()


def clean_slot(state: Path, slot: int) -> Cleaned:
    """Undo everything of a slot whose lock this process holds: kill its processes, remove its files and its groups.

    All faults are in processes of the run (proxies, stopped nodes), so they end with them; only the empty control
    groups of slowed nodes and the proxies on another server stay until they are removed here. What cannot be removed
    from a server stays written down, for the next time.
    """
    directory = _directory(state, slot)
    killed = []
    for pid, identity in _noted(directory):
        if started(pid) == identity and _kill(pid):
            killed.append((pid, command(pid)))
    deadline, patience = monotonic() + GONE_S, monotonic() + ENDS_ITSELF_S
    ending = {pid for pid, identity in _noted(directory, ends_itself=True) if started(pid) == identity}
    # Again, for one that was being forked; then until they are gone.
    while found := marked(directory):
        for pid in found:
            if pid in ending and monotonic() < patience:
                continue
            what = command(pid)
            if _kill(pid) and pid not in dict(killed):
                killed.append((pid, what))
        if monotonic() > deadline:
            break
        sleep(0.005)
    noted = [Path(entry["cgroup"]) for entry in _entries(directory) if "cgroup" in entry]
    groups = tuple(dict.fromkeys(group for group in (*noted, *cpu.left_of(slot)) if group.exists()))
    cpu.remove(groups)
    faults = tuple(_in_force(directory))
    existed = directory.exists() or bool(groups)
    namespaces = frozenset(_namespaces(directory))
    undone = [remove(url, prefix) for url, prefix in _proxied(directory)]
    if not any(problem for _, problem in undone):
        shutil.rmtree(directory, ignore_errors=True)
    proxies = tuple(name for names, _ in undone for name in names)
    return Cleaned(slot, tuple(killed), faults, existed, namespaces, proxies, groups)


def clean_free_slot(state: Path, slot: int) -> bool:
    """Undo everything of a slot, unless somebody holds it: then False."""
    lock = _lock(state, slot)
    if lock is None:
        return False
    with lock:
        clean_slot(state, slot)
    return True


def slots(state: Path) -> Iterator[tuple[int, bool]]:
    """Every slot that was ever used, and whether it is free: then it is held here while it is looked at."""
    for file in sorted(state.glob("slot-*.lock")):
        slot = int(file.stem.removeprefix("slot-"))
        lock = _lock(state, slot)
        if lock is None:
            yield slot, False
        else:
            with lock:
                yield slot, True


def holder(state: Path, slot: int) -> str:
    """Who holds a slot, for people."""
    for entry in _entries(_directory(state, slot)):
        if "harness" in entry:
            return f"process {entry['harness']} ({entry['command']})"
    # It has another state directory: whose is the name in the kernel?
    for pid in _with_name(_name(slot)):
        where = _environment(pid).get(STATE_VARIABLE, "the default one")
        return f"process {pid} ({command(pid)}), whose state directory is {where}"
    return "a live run that is about to begin, or of another user"


def _name(slot: int) -> str:
    return f"harness-live-slot-{slot}"


def _with_name(name: str) -> Iterator[int]:
    """Processes that have the abstract Unix socket of that name open (/proc/net/unix, /proc/PID/fd)."""
    inodes = {
        f"socket:[{fields[6]}]"
        for line in Path("/proc/net/unix").read_text(errors="replace").splitlines()[1:]
        if len(fields := line.split()) > 7 and fields[7] == f"@{name}"
    }
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if any(os.readlink(file) in inodes for file in (entry / "fd").iterdir()):
                yield int(entry.name)
        except OSError:
            continue


def _environment(pid: int) -> dict[str, str]:
    try:
        text = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
    except OSError:
        return {}
    return dict(item.partition("=")[::2] for item in text.split("\0") if "=" in item)


def own_directory(state: Path) -> Path:
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = state.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise NoSlot(f"{state} is not a directory of this user's; set {STATE_VARIABLE} to one that is")
    return state


class _Lock:
    """The hold on a slot: on its addresses, by a name in the kernel that every user and every state directory of
    this network shares (unix(7): abstract sockets), and on its directory (flock)."""

    def __init__(self, name: socket.socket, file: IO[str]) -> None:
        self._name = name
        self._file = file

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._name.close()


def _lock(state: Path, slot: int) -> _Lock | None:
    name = socket.socket(socket.AF_UNIX)
    try:
        name.bind(f"\0{_name(slot)}")
    except OSError:
        name.close()
        return None
    file = open(state / f"slot-{slot}.lock", "a", encoding="utf-8")  # noqa: SIM115 (held by the caller)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        name.close()
        return None
    return _Lock(name, file)


def _directory(state: Path, slot: int) -> Path:
    return state.resolve() / f"slot-{slot}"


def _entries(directory: Path) -> Iterator[Mapping[str, Any]]:
    try:
        lines = (directory / "lease.jsonl").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue  # the harness died while it wrote this, before it acted
        if isinstance(entry, dict):
            yield entry


def _noted(directory: Path, *, ends_itself: bool = False) -> Iterator[tuple[int, int]]:
    """Those that are to be killed at once, or those that end by themselves: id and start."""
    for entry in _entries(directory):
        if (
            "process" in entry
            and entry["started"] is not None
            and entry.get("ends_itself", False) == ends_itself
        ):
            yield entry["process"], entry["started"]


def _in_force(directory: Path) -> Iterator[tuple[str, str]]:
    entries = list(_entries(directory))
    undone = {entry["undone"] for entry in entries if "undone" in entry}
    for entry in entries:
        if "fault" in entry and entry["fault"] not in undone:
            yield entry["what"], entry["undo"]


def _namespaces(directory: Path) -> Iterator[int]:
    for entry in _entries(directory):
        if "namespaces" in entry:
            yield from entry["namespaces"].values()


def _proxied(directory: Path) -> Iterator[tuple[str, str]]:
    """Servers on which this run may have made proxies, and what those are called."""
    for entry in _entries(directory):
        if "toxiproxy" in entry:
            yield entry["toxiproxy"], entry["prefix"]


def _proxies_left(directory: Path) -> Iterator[str]:
    for url, prefix in _proxied(directory):
        try:
            yield from (f"proxy {name} on {url}" for name in ours(url, prefix))
        except (OSError, ValueError) as error:
            yield f"proxies named {prefix}... on {url}, perhaps: {error}"


def _kill(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


_LISTEN = "0A"


def _listeners(slot: int) -> Iterator[str]:
    """Listening TCP sockets at the slot's addresses, from /proc/net/tcp (proc_net_tcp(5): hexadecimal)."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, _, state, *_ = line.split()
        if state != _LISTEN:
            continue
        address, _, port = local.partition(":")
        # The four bytes are a number in the machine's own order.
        name = socket.inet_ntoa(int(address, 16).to_bytes(4, sys.byteorder))
        if name.startswith(f"127.{slot}."):
            yield f"{name}:{int(port, 16)}"
