"""What leaves the simulated world is refused where it happens; what does not is let through."""

from __future__ import annotations

import _thread
import asyncio
import http.client
import multiprocessing
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from aiohttp import web

from harness.sim.boundary import BOUNDARY
from harness.sim.patching import RefusedError
from harness.system import Host
from tests.sim.support import call, hello, saw

POOL = ProcessPoolExecutor(1)


@pytest.fixture
def port() -> Iterator[int]:
    """Where a real server listens. Nobody may come."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server.getsockname()[1]
        with pytest.raises(BlockingIOError):
            server.accept()


def _nothing() -> None:
    pass


NETWORK: dict[str, Callable[[int], object]] = {
    "connect": lambda port: socket.create_connection(("127.0.0.1", port)),
    "connect_ex": lambda port: socket.socket().connect_ex(("127.0.0.1", port)),
    "accept": lambda _: socket.create_server(("127.0.0.1", 0)).accept(),
    "receive": lambda port: socket.create_server(("127.0.0.1", port + 1)).recv(1),
    "sendto": lambda port: socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", port)),
    "unix": lambda _: socket.socket(socket.AF_UNIX).connect("/nowhere"),
    "getaddrinfo": lambda port: socket.getaddrinfo("localhost", port),
    "gethostbyname": lambda _: socket.gethostbyname("localhost"),
    "urllib": lambda port: urllib.request.urlopen(f"http://127.0.0.1:{port}/"),
    "http.client": lambda port: http.client.HTTPConnection("127.0.0.1", port).request("GET", "/"),
}

MACHINE: dict[str, Callable[[Path], object]] = {
    "subprocess": lambda _: subprocess.run(["true"], check=False),
    "os.system": lambda _: os.system("true"),
    "os.popen": lambda _: os.popen("true"),
    "os.fork": lambda _: os.fork(),
    "os.execv": lambda _: os.execv("/bin/true", ["true"]),
    "os.posix_spawn": lambda _: os.posix_spawn("/bin/true", ["true"], {}),
    "multiprocessing": lambda _: multiprocessing.get_context("spawn").Process(target=_nothing).start(),
    "ProcessPoolExecutor": lambda _: POOL.submit(_nothing),
    "os.kill": lambda _: os.kill(os.getpid(), 0),
    "raise_signal": lambda _: signal.raise_signal(signal.SIGUSR1),
    "alarm": lambda _: signal.alarm(0),
    "os._exit": lambda _: os._exit(9),
    "_thread": lambda _: _thread.start_new_thread(_nothing, ()),
    "write": lambda path: (path / "new").write_text("x"),
    "append": lambda path: (path / "old").open("a"),
    "os.open": lambda path: os.open(path / "new", os.O_CREAT | os.O_WRONLY),
    "remove": lambda path: (path / "old").unlink(),
    "rename": lambda path: (path / "old").rename(path / "new"),
    "mkdir": lambda path: (path / "new").mkdir(),
    "rmtree": lambda path: shutil.rmtree(path / "directory"),
    "chmod": lambda path: (path / "old").chmod(0o777),
    "temporary": lambda path: tempfile.NamedTemporaryFile(dir=path),  # noqa: SIM115
    "sqlite": lambda path: sqlite3.connect(path / "new"),
}


def _refused(act: Callable[[], object], where: str) -> None:
    """The act raises with name and line, and the run is an error although the service catches it."""

    async def service(host: Host) -> None:
        with pytest.raises(RefusedError, match="is not simulated; use "):
            act()
        await host.serve(web.Application())

    async def life(host: Host) -> None:
        await host.clock.sleep(1)
        with pytest.raises(RefusedError):
            await asyncio.to_thread(act)

    # One place is reported once.
    failure = call(life, {"service": service}).failures[0]
    assert failure.host == "service"
    assert f"tests/sim/test_boundary.py:{where}" in failure.error


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # sockets are left open
@pytest.mark.parametrize("name", NETWORK)
def test_the_network_of_the_machine_is_refused(name: str, port: int) -> None:
    act = NETWORK[name]
    _refused(lambda: act(port), f"{act.__code__.co_firstlineno}, in ")


@pytest.mark.parametrize("name", MACHINE)
def test_programs_signals_and_files_of_the_machine_are_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "old").write_text("x")
    (tmp_path / "directory").mkdir()
    before = {path: path.stat().st_mode for path in tmp_path.iterdir()}
    act = MACHINE[name]
    _refused(lambda: act(tmp_path), f"{act.__code__.co_firstlineno}, in ")
    assert {path: path.stat().st_mode for path in tmp_path.iterdir()} == before


def test_programs_of_asyncio_are_refused() -> None:
    async def life(_: Host) -> None:
        with pytest.raises(RefusedError, match="a node of the topology"):
            await asyncio.create_subprocess_exec("true")
        with pytest.raises(RefusedError, match="a node of the topology"):
            await asyncio.create_subprocess_shell("true")

    assert len(call(life).failures) == 2


def test_what_stays_inside_is_let_through(tmp_path: Path) -> None:
    async def life(host: Host) -> None:
        before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
        assert signal.signal(signal.SIGTERM, before) is signal.SIG_IGN
        assert Path(__file__).read_text(encoding="utf-8")  # noqa: ASYNC240
        with tempfile.TemporaryFile() as file, Path(os.devnull).open("w") as null:  # noqa: ASYNC230
            file.write(b"x")
            null.write("x")
        with sqlite3.connect(":memory:") as database:
            saw(host, database.execute("SELECT 1").fetchone()[0])
        database.close()
        import platform
        import xml.dom.minidom  # noqa: F401

        assert platform.platform()
        assert platform.processor() is not None
        async with host.http("hello").get("/") as answer:
            saw(host, await answer.text())

    handler = signal.getsignal(signal.SIGTERM)
    outcome = call(life, {"hello": hello})
    assert outcome.seen == ["1", "hello"]
    assert not outcome.failures
    assert signal.getsignal(signal.SIGTERM) == handler


def test_everything_outside_of_a_run_is_left_alone(tmp_path: Path) -> None:
    before = [os._exit, signal.signal, ProcessPoolExecutor.submit]

    async def life(_: Host) -> None:
        assert os._exit is not before[0]

    call(life)
    assert [os._exit, signal.signal, ProcessPoolExecutor.submit] == before
    (tmp_path / "file").write_text("x")
    subprocess.run(["true"], check=True)
    socket.create_server(("127.0.0.1", 0)).close()


def test_the_harness_itself_may_write_during_a_run(tmp_path: Path) -> None:
    from harness.runtime.contract import Session
    from tests.sim.support import make_system, run

    async def body(_: Session) -> None:
        (tmp_path / "file").write_text("x")

    run(make_system(), body)


def test_the_page_has_the_list() -> None:
    page = Path(__file__).parents[2].joinpath("docs/virtual-time.md").read_text(encoding="utf-8")
    rows = [f"| {one.what} | {one.treatment} | {one.how} |" for one in BOUNDARY]
    assert "\n".join(rows) in page
