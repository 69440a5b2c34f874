"""What code of the system under test cannot do in virtual time, because it would leave or block the simulated world.

An audit hook sees the calls of Python (`sys.addaudithook`): it is added once in a process, and does nothing unless code
of a simulated process runs. What Python does not audit is replaced for the time of a run. The harness itself, and
everything outside of a run, is left alone; so is reading files.

Not seen is what C libraries do by themselves. `BOUNDARY` lists what is simulated, refused and not seen.
"""

from __future__ import annotations

import multiprocessing.process
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from harness.sim.process import Process
from harness.sim.threads import starts_thread

if TYPE_CHECKING:
    from harness.sim.loop import SimLoop

_CLIENT = "an asynchronous client (host.http, aiohttp, httpx.AsyncClient, redis.asyncio), or asyncio.open_connection"
_NODE = "a node of the topology for the other program"
_DISK = "host.disk; a host's files are not those of the machine"
_SIGNAL = "a fault of the timeline (crash, pause, restart)"


@dataclass(frozen=True, slots=True)
class Boundary:
    """One line of the list: what, how it is treated, and what to use instead or what is done."""

    what: str
    treatment: Literal["simulated", "refused", "leaks"]
    how: str


BOUNDARY = (
    Boundary(
        "asyncio: tasks, timers, streams, servers and connections, names", "simulated", "virtual network"
    ),
    Boundary(
        "TLS, start_tls, ssl contexts and certificates", "simulated", "real TLS over the virtual network"
    ),
    Boundary("UDP: create_datagram_endpoint", "simulated", "links delay, lose, limit and cut datagrams"),
    Boundary("Unix sockets: create_unix_server, create_unix_connection", "simulated", "within one node"),
    Boundary(
        "sockets: bind, listen and the sock_* methods of the loop; create_server(sock=)",
        "simulated",
        "the socket stands for one of the virtual network",
    ),
    Boundary(
        "loop.add_reader, add_writer, pipes",
        "refused",
        "streams, or the sock_* methods of the loop; asyncio.Queue",
    ),
    Boundary(
        "threads: to_thread, executors, threading.Thread, anyio.to_thread", "simulated", "one at a time"
    ),
    Boundary("time.sleep and time-outs of waits, in a thread", "simulated", "virtual time"),
    Boundary(
        "time.time, monotonic, perf_counter, localtime; datetime.now; the time zone",
        "simulated",
        "UTC from 2026",
    ),
    Boundary(
        "os.urandom, uuid, secrets, random, random.Random()", "simulated", "seeded for each process of a host"
    ),
    Boundary("numpy.random", "simulated", "seeded for the run"),
    Boundary("socket.gethostname, os.getpid, os.cpu_count", "simulated", "those of the node"),
    Boundary("signal.signal", "simulated", "accepted; no signal arrives"),
    Boundary(
        "reading files, imports, anonymous temporary files, /dev/null", "simulated", "those of the machine"
    ),
    Boundary("time.sleep and waiting for threads, in the loop", "refused", "await host.clock.sleep(seconds)"),
    Boundary("blocking sockets: connect, accept, recv, send, sendto, getaddrinfo", "refused", _CLIENT),
    Boundary("http.client, urllib.request, requests, redis.Redis, ftplib, smtplib", "refused", _CLIENT),
    Boundary("subprocess, os.system, os.fork, os.exec, asyncio.create_subprocess_*", "refused", _NODE),
    Boundary(
        "multiprocessing, ProcessPoolExecutor", "refused", "asyncio.to_thread, or host.work for its cost"
    ),
    Boundary(
        "loop.add_signal_handler", "refused", "nothing; NotImplementedError, as in loops without signals"
    ),
    Boundary("os.kill, signal.raise_signal, alarm, setitimer; os._exit, os.abort", "refused", _SIGNAL),
    Boundary("writing, moving and removing files; sqlite3 on a file", "refused", _DISK),
    Boundary("files and sockets that were opened before the run", "leaks", "open them in the service"),
    Boundary("system calls of C libraries (libpq, librdkafka, pycurl, grpcio, duckdb)", "leaks", "not seen"),
    Boundary(
        "OpenSSL's random numbers, and its clock for certificates", "leaks", "RSA keys keep sizes repeatable"
    ),
    Boundary("os.environ, globals of modules, caches of libraries", "leaks", "shared by all nodes of a run"),
    Boundary("sets of strings, and of objects without __hash__", "leaks", "harness run --check-determinism"),
)
"""What is simulated, what is refused with its line, and what is not seen."""


def _path(value: object) -> str:
    return os.fsdecode(value) if isinstance(value, str | bytes | os.PathLike) else str(value)


def _refused_open(path: object, mode: object = None, flags: object = 0) -> tuple[str, str] | None:
    if isinstance(path, int):
        return None
    writes = any(letter in mode for letter in "wax+") if isinstance(mode, str) else False
    if isinstance(flags, int) and mode is None:
        writes = bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC))
        if flags & getattr(os, "O_TMPFILE", 0) == getattr(os, "O_TMPFILE", -1):
            return None
    if not writes:
        return None
    name = _path(path)
    # Byte code; and a directory, which can only be opened for an anonymous file.
    if name == os.devnull or "__pycache__" in name or Path(name).is_dir():
        return None
    return f"writing the file '{name}'", _DISK


def _refused_url(url: object, *_: object) -> tuple[str, str] | None:
    local = str(url).lower().startswith(("file:", "data:"))
    return None if local else (f"a blocking request to {url}", _CLIENT)


def _refused_database(database: object, *_: object) -> tuple[str, str] | None:
    name = _path(database)
    memory = name in ("", ":memory:") or "mode=memory" in name or ":memory:" in name
    return None if memory else (f"a SQLite database in the file '{name}'", _DISK)


def _refused_thread(*_: object) -> tuple[str, str] | None:
    return None if starts_thread() else ("a thread of the module _thread", "threading.Thread")


def _socket(what: str) -> Callable[..., tuple[str, str]]:
    def refused(_: object, address: object = None, *__: object) -> tuple[str, str]:
        return f"{what} {_address(address)}".rstrip(), _CLIENT

    return refused


def _address(address: object) -> str:
    if isinstance(address, tuple) and len(address) >= 2:
        return f"{address[0]}:{address[1]}"
    return "" if address is None else _path(address)


def _lookup(host: object, *_: object) -> tuple[str, str]:
    return f"a blocking look-up of the name {_path(host)}", "await loop.getaddrinfo, or " + _CLIENT


def _program(name: object = "", *_: object) -> tuple[str, str]:
    return f"starting the program {_path(name)}".rstrip(), _NODE


def _fixed(what: str, instead: str) -> Callable[..., tuple[str, str]]:
    return lambda *_: (what, instead)


def _file(what: str) -> Callable[..., tuple[str, str] | None]:
    def refused(path: object, *_: object) -> tuple[str, str] | None:
        name = _path(path)
        return None if "__pycache__" in name else (f"{what} '{name}'", _DISK)

    return refused


AUDITED: Mapping[str, Callable[..., tuple[str, str] | None]] = {
    "socket.connect": _socket("a blocking connection to"),
    "socket.sendto": _socket("a blocking datagram to"),
    "socket.sendmsg": _socket("a blocking message to"),
    "socket.getaddrinfo": _lookup,
    "socket.gethostbyname": _lookup,
    "socket.gethostbyaddr": _lookup,
    "http.client.connect": lambda _, host, port: (f"a blocking HTTP connection to {host}:{port}", _CLIENT),
    "urllib.Request": _refused_url,
    "subprocess.Popen": _program,
    "os.system": _program,
    "os.exec": _program,
    "os.posix_spawn": _program,
    "os.fork": _fixed("os.fork", _NODE),
    "os.forkpty": _fixed("os.forkpty", _NODE),
    "pty.spawn": _program,
    "os.kill": _fixed("os.kill", _SIGNAL),
    "os.killpg": _fixed("os.killpg", _SIGNAL),
    "signal.pthread_kill": _fixed("signal.pthread_kill", _SIGNAL),
    "_thread.start_new_thread": _refused_thread,
    "_thread.start_joinable_thread": _refused_thread,
    "open": _refused_open,
    "os.remove": _file("removing"),
    "os.rename": _file("renaming"),
    "os.mkdir": _file("making the directory"),
    "os.rmdir": _file("removing the directory"),
    "os.truncate": _file("truncating"),
    "os.link": _file("linking"),
    "os.symlink": _file("linking"),
    "os.chmod": _file("changing the mode of"),
    "os.chown": _file("changing the owner of"),
    "os.chdir": _file("changing the directory to"),
    "sqlite3.connect": _refused_database,
}
"""By audit event: what it is and what to use instead, or None where it is allowed."""

# Modules of Python that ask programs and files of the machine for facts about it.
_FACTS = tuple(
    f"{Path(os.__file__).parent / name}" for name in ("platform.py", "uuid.py", "ctypes/util.py", "locale.py")
)


class _Hook:
    """`loop`: that of the run under way. The hook stays in the process for ever; without a loop it returns at once."""

    loop: ClassVar[SimLoop | None] = None
    added: ClassVar[bool] = False


def _hook(event: str, args: tuple[Any, ...]) -> None:
    loop = _Hook.loop
    if loop is None or event not in AUDITED or Process.current() is None:
        return
    refused = AUDITED[event](*args)
    if refused is None or _asks_for_facts():
        return
    raise loop.refusal(*refused)


def _asks_for_facts() -> bool:
    return any(frame.f_code.co_filename in _FACTS for frame, _ in traceback.walk_stack(sys._getframe(2)))


def _socket_methods(loop: SimLoop) -> list[tuple[Any, str, Callable[..., Any]]]:
    """Methods of sockets that act on what the socket stands for (`harness.sim.network.stand_in`)."""
    stand_ins, find = loop.network.stand_ins, loop.network.stand_in
    close, get_name, get_peer = socket.socket.close, socket.socket.getsockname, socket.socket.getpeername

    def closes(sock: socket.socket) -> None:
        if (found := stand_ins.pop(sock, None)) is not None:
            found.close()
        close(sock)

    def getsockname(sock: socket.socket) -> Any:
        found = stand_ins.get(sock)
        name = None if found is None else found.name()
        return get_name(sock) if name is None else name

    def getpeername(sock: socket.socket) -> Any:
        found = stand_ins.get(sock)
        return get_peer(sock) if found is None else found.peer_name()

    methods: dict[str, Callable[..., Any]] = {
        "bind": lambda sock, name: find(sock).bind(name),
        "listen": lambda sock, *backlog: find(sock).listen(*backlog),
        "close": closes,
        "getsockname": getsockname,
        "getpeername": getpeername,
    }
    for name in ("accept", "recv", "recv_into", "recvfrom", "send", "sendall", "makefile"):
        methods[name] = _refuse_stand_in(loop, name)
    return [(socket.socket, name, method) for name, method in methods.items()]


def _refuse_stand_in(loop: SimLoop, name: str) -> Callable[..., Any]:
    """The method of sockets that would block; of a socket that stands for nothing (a pair), it is the real one."""
    real = getattr(socket.socket, name)

    def method(sock: socket.socket, *args: Any, **kwargs: Any) -> Any:
        if sock in loop.network.stand_ins:
            raise loop.refusal(f"a blocking socket ({name})", "the sock_* methods of the loop, or " + _CLIENT)
        return real(sock, *args, **kwargs)

    return method


@contextmanager
def closed_boundary(loop: SimLoop) -> Iterator[None]:
    """Refuse what leaves the simulated world, in code of simulated processes, for the time of a run."""
    if not _Hook.added:
        sys.addaudithook(_hook)
        _Hook.added = True

    def refuse(what: str, instead: str) -> Callable[..., Any]:
        def refused(*_: Any, **__: Any) -> Any:
            raise loop.refusal(what, instead)

        return refused

    handlers: dict[tuple[Process, int], Any] = {}

    def set_handler(number: int, handler: Any) -> Any:
        """Handlers are kept; no signal arrives."""
        process = Process.current()
        assert process is not None
        before = handlers.get((process, number), signal.SIG_DFL)
        handlers[process, number] = handler
        return before

    replaced: list[tuple[Any, str, Callable[..., Any]]] = [
        (owner, name, refuse(f"{owner.__name__}.{name}", instead))
        for owner, names, instead in (
            (os, ("_exit", "abort"), _SIGNAL),
            (signal, ("alarm", "setitimer", "raise_signal", "pause", "sigwait", "sigtimedwait"), _SIGNAL),
            (multiprocessing.process.BaseProcess, ("start",), "asyncio.to_thread, or host.work for its cost"),
            (ProcessPoolExecutor, ("submit",), "asyncio.to_thread, or host.work for its cost"),
        )
        for name in names
        if hasattr(owner, name)
    ]
    replaced.append((signal, "signal", set_handler))
    replaced += _socket_methods(loop)
    with ExitStack() as undo:
        for owner, name, function in replaced:
            before = getattr(owner, name)
            setattr(owner, name, _inside(function, before))
            undo.callback(setattr, owner, name, before)
        _Hook.loop = loop
        try:
            yield
        finally:
            _Hook.loop = None


def _inside(function: Callable[..., Any], real: Callable[..., Any]) -> Callable[..., Any]:
    """`function` for code of a simulated process, `real` for everything else."""

    def either(*args: Any, **kwargs: Any) -> Any:
        return (real if Process.current() is None else function)(*args, **kwargs)

    return either
