"""`--toxiproxy URL`: live runs on a server with Toxiproxy's API alone, which is unchanged afterwards."""

from __future__ import annotations

import asyncio
import http.server
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from harness.cli.main import invoke
from harness.faults.bandwidth import Bandwidth
from harness.faults.exposure import Exposure
from harness.faults.primitives import Capability, EndpointMatch, FaultFailed, LinkShape, PathMatch
from harness.live.cleanup import cleanup
from harness.live.external_proxies import server_problem
from harness.live.options import LiveOptions
from harness.live.resources import names
from harness.live.run_lock import STATE_VARIABLE
from harness.live.runtime import LiveRuntime
from harness.live.workspace import open_workspace
from harness.runtime.contract import NotReady, RunSettings, Session
from harness.system import Access, Client, Host
from tests.support.toy_system import system
from tests.support.watchdogs import kill_watchdogs
from tests.toxiproxy.process import echoing, serving

pytestmark = pytest.mark.live

STRICT = ("serve", "-host", "127.0.0.1", "-port", "0", "-strict")
SHOPPER = EndpointMatch(nodes=frozenset({"shopper"}))
TO_BACKEND = PathMatch(SHOPPER, EndpointMatch(nodes=frozenset({"backend-east"})))


def api(url: str, method: str, path: str, body: object = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url + path, data=data, method=method)) as answer:
        text = answer.read()
    return json.loads(text) if text else None


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(STATE_VARIABLE, str(tmp_path))
    return tmp_path


@pytest.fixture(params=[(), ("-proxy-metrics",)], ids=["no metrics", "metrics"])
def server(request: pytest.FixtureRequest) -> Iterator[str]:
    """A server with proxies that are not ours."""
    with serving(*STRICT, *request.param) as (_, url), echoing() as address:
        for name in ("theirs", "harness-tool"):
            api(url, "POST", "/proxies", {"name": name, "listen": "127.0.0.1:0", "upstream": address})
        toxic = {"name": "slow", "type": "latency", "toxicity": 0.5, "attributes": {"latency": 7}}
        api(url, "POST", "/proxies/theirs/toxics", toxic)
        api(url, "PATCH", "/proxies/harness-tool", {"enabled": False})
        yield url


class Shop:
    def __init__(self, session: Session, host: Host) -> None:
        self.session = session
        self.do = session.primitives
        self.host = host

    async def ask(self, timeout_s: float = 0.5) -> str:
        """The status, or the name of the error."""
        try:
            timeout = aiohttp.ClientTimeout(total=timeout_s)
            async with self.host.http("backend-east").get("/offers", timeout=timeout) as answer:
                await answer.read()
                return str(answer.status)
        except (aiohttp.ClientError, TimeoutError) as error:
            return type(error).__name__

    async def took_s(self) -> float:
        began_s = time.perf_counter()
        assert await self.ask(5.0) == "200"
        return time.perf_counter() - began_s


async def faults(shop: Shop) -> dict[str, Exposure]:
    """Apply every fault in turn; return the exposure of each."""
    found = {}
    assert 0.01 <= await shop.took_s() < 0.3

    slow = await shop.do.shape(TO_BACKEND, LinkShape(latency_s=0.3))
    assert await shop.took_s() >= 0.3
    await slow.undo()
    found["latency"] = slow.exposure()

    narrow = await shop.do.shape(TO_BACKEND.reversed(), LinkShape(bandwidth_bps=8e3))
    assert await shop.took_s() >= 0.15
    await narrow.undo()
    found["bandwidth"] = narrow.exposure()

    cut = await shop.do.cut(TO_BACKEND)
    assert await shop.ask() == "TimeoutError"
    await cut.undo()
    found["cut"] = cut.exposure()

    assert await shop.ask() == "200"
    reset = await shop.do.reset(TO_BACKEND)
    found["reset"] = reset.exposure()
    assert await shop.ask() in ("200", "ServerDisconnectedError")
    assert await shop.ask() == "200"

    kill = await shop.do.kill("backend-east")
    await shop.ask()
    assert await shop.ask() == "ClientConnectorError"
    await kill.undo()
    found["kill"] = kill.exposure()
    assert await shop.ask() == "200"

    nothing = await shop.do.shape(PathMatch(SHOPPER, SHOPPER), LinkShape(latency_s=0.1))
    assert await shop.ask() == "200"
    await nothing.undo()
    found["nothing"] = nothing.exposure()
    return found


def run(url: str, look: Callable[[Shop], Any]) -> Any:
    async def body(session: Session) -> Any:
        client = Client("shopper", "east", "fast", Access(down_bps=100e6, up_bps=20e6, rtt_s=0.01))
        async with session.client(client, "shopper") as host:
            return await look(Shop(session, host))

    settings = RunSettings(system, 1, reference="tests.support.toy_system:system")
    return LiveRuntime(LiveOptions(toxiproxy=url)).run(settings, body)


def test_faults_and_their_exposure_with_the_vanilla_api(state: Path, server: str) -> None:
    before = api(server, "GET", "/proxies")

    async def look(shop: Shop) -> dict[str, Exposure]:
        there = api(server, "GET", "/proxies")
        assert all(name.startswith("harness-") for name in set(there) - set(before))
        with pytest.raises(FaultFailed, match=r"^shared: .*--toxiproxy"):
            await shop.do.shape(TO_BACKEND, LinkShape(bandwidth_bps=1e6, shared=True))
        return await faults(shop)

    found = run(server, look)
    for name in ("latency", "bandwidth", "cut", "reset", "kill"):
        assert found[name].connections >= 1, name
    assert found["latency"].bytes > 50
    assert found["bandwidth"].bytes > 150
    assert found["reset"].resets >= 1
    assert found["kill"].connects_blocked >= 1
    assert not found["nothing"].touched
    assert api(server, "GET", "/proxies") == before


HARNESS = """
import asyncio, sys
from harness.faults.primitives import EndpointMatch, LinkShape, PathMatch
from harness.runtime.contract import RunSettings
from harness.live.options import LiveOptions
from harness.live.resources import names
from harness.live.runtime import LiveRuntime
from harness.live.workspace import open_workspace
from harness.system import Access, Client
from tests.support.toy_system import shop, system

async def body(session):
    everything = PathMatch(EndpointMatch(everything=True), EndpointMatch(everything=True))
    async with session.client(Client("s", "east", "fast", Access(1e8, 1e8, 0.01)), "shopper") as host:
        visiting = asyncio.ensure_future(shop(host))
        await session.primitives.shape(everything, LinkShape(latency_s=0.01))
        print("faulty", flush=True)
        await asyncio.sleep(60)

settings = RunSettings(system, 1, reference="tests.support.toy_system:system")
LiveRuntime(LiveOptions(toxiproxy=sys.argv[1])).run(settings, body)
"""


@contextmanager
def killed_harness(state: Path, url: str, *, watchdog: bool = False) -> Iterator[None]:
    """A harness that was killed while a fault was in force; its watchdog was killed before, unless `watchdog`."""
    with subprocess.Popen(
        [sys.executable, "-c", HARNESS, url],
        env={**os.environ, STATE_VARIABLE: str(state)},
        stdout=subprocess.PIPE,
        text=True,
    ) as harness:
        assert harness.stdout is not None
        assert harness.stdout.readline() == "faulty\n"
        if not watchdog:
            kill_watchdogs(state)
        harness.send_signal(signal.SIGKILL)
    yield


def ours(url: str) -> list[str]:
    return [name for name in api(url, "GET", "/proxies") if name.startswith("harness-") and "~" in name]


def test_what_a_killed_harness_leaves_is_removed_by_cleanup(state: Path, server: str) -> None:
    before = api(server, "GET", "/proxies")
    with killed_harness(state, server):
        assert ours(server)
    done = cleanup()
    assert done.clean
    (cleaned,) = done.cleaned
    removed = names(cleaned.undone, "proxy")
    assert removed
    assert all(name.startswith(f"harness-{cleaned.run}~") for name in removed)
    assert api(server, "GET", "/proxies") == before


def test_what_a_killed_harness_leaves_is_removed_by_its_watchdog(state: Path, server: str) -> None:
    before = api(server, "GET", "/proxies")
    with killed_harness(state, server, watchdog=True):
        deadline_s = time.perf_counter() + 10
        while api(server, "GET", "/proxies") != before and time.perf_counter() < deadline_s:
            time.sleep(0.05)  # noqa: TID251 (another process does it, in real time)
    assert api(server, "GET", "/proxies") == before


def take(state: Path, run: int) -> None:
    """Hold the lock of this run for a moment; locks before it are held meanwhile."""
    for _ in range(200):
        with ExitStack() as held:
            workspace = held.enter_context(open_workspace(state))
            while workspace.run < run:
                workspace = held.enter_context(open_workspace(state))
            if workspace.run == run:
                return
        time.sleep(0.05)  # noqa: TID251 (another process has it)
    raise AssertionError(f"lock {run} was never free")


def test_what_a_killed_harness_leaves_is_removed_by_the_next_run_with_its_number(state: Path) -> None:
    with serving(*STRICT) as (_, url), killed_harness(state, url):
        left = ours(url)
        take(state, int(left[0].removeprefix("harness-").partition("~")[0]))
        assert api(url, "GET", "/proxies") == {}


def test_the_proxies_of_a_dead_server_are_gone(state: Path) -> None:
    with serving(*STRICT) as (_, url), killed_harness(state, url):
        assert ours(url)
    assert cleanup().clean


def test_a_server_that_does_not_answer_is_reported_and_tried_again(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.live.external_proxies.ANSWER_S", 0.3)
    with serving(*STRICT) as (process, url), killed_harness(state, url):
        process.send_signal(signal.SIGSTOP)
        try:
            done = cleanup()
        finally:
            process.send_signal(signal.SIGCONT)
        assert not done.clean
        (cleaned,) = done.cleaned
        assert any(url in name for name in names(cleaned.left, "proxy"))
        assert cleanup().clean
        assert not list(state.glob("run-*.ledger"))
        assert ours(url) == []


def test_a_server_that_ends_during_a_run_is_a_failure_of_the_harness(state: Path) -> None:
    with serving(*STRICT) as (process, url):

        async def look(shop: Shop) -> list[str]:
            process.kill()
            async with asyncio.timeout(10):
                while not shop.session.failures:  # noqa: ASYNC110 (a row of a journal sets no event)
                    await asyncio.sleep(0.05)
            with pytest.raises(FaultFailed, match=url):
                await shop.do.cut(TO_BACKEND)
            return [failure.error for failure in shop.session.failures if failure.host == "the harness"]

        (said,) = run(url, look)
    assert url in said


class NotToxiproxy(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"[1, 2]")

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://127.0.0.1:8474", "give http://HOST:PORT"),
        ("127.0.0.1:8474", "give http://HOST:PORT"),
        ("http://127.0.0.1:8474/proxies", "give http://HOST:PORT"),
        ("http://127.0.0.1:99999", "Port out of range"),
        ("http://192.0.2.1:8474", "stay on the loopback addresses"),
    ],
)
def test_an_unusable_url(url: str, said: str) -> None:
    problem = server_problem(url)
    assert problem is not None
    assert problem.startswith(url)
    assert said in problem


def test_a_server_that_is_not_toxiproxy(state: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    assert "harness toxiproxy serve" in str(server_problem(f"http://127.0.0.1:{port}"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), NotToxiproxy) as other:
        thread = threading.Thread(target=other.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            url = f"http://127.0.0.1:{other.server_address[1]}"
            assert "GET /version" in str(server_problem(url))
            with pytest.raises(NotReady, match="GET /version"):
                run(url, lambda _: pytest.fail("it must not begin"))
        finally:
            other.shutdown()
            thread.join()
    assert cleanup().clean


LATENCY = "experiments/live/live-recommender-latency.chaos.yaml"


def test_the_command_refuses_an_unusable_server_before_anything_starts(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refusal(*arguments: str) -> str:
        assert invoke([*arguments, LATENCY]) == 4
        return capsys.readouterr().err

    with socket.create_server(("127.0.0.1", 0)) as sock:
        nobody = f"http://127.0.0.1:{sock.getsockname()[1]}"
    for command in ("run --runtime live", "parity"):
        ended = refusal(*command.split(), "--toxiproxy", nobody)
        assert f"--toxiproxy {nobody}: " in ended
        both = refusal(*command.split(), "--toxiproxy", nobody, "--network", "kernel")
        assert "--toxiproxy with --network kernel" in both
    assert "--runtime live" in refusal("run", "--toxiproxy", nobody)
    assert not list(state.iterdir())


@pytest.mark.parametrize("shared", [True, False])
def test_a_shared_limit_there_is_refused_before_anything_starts(shared: bool) -> None:
    target = {"link": {"from": "gateway", "to": "recommender"}}
    limit = Bandwidth.model_validate(
        {"fault": "bandwidth", "at": "1s", "for": "5s", "target": target, "rate": "1Mbps", "shared": shared}
    )
    external = LiveOptions(toxiproxy="http://127.0.0.1:8474").capabilities()
    assert (Capability.SHARED_RATE in limit.needed()) == shared
    assert len(external.missing(limit.needed())) == shared
    assert LiveOptions().capabilities().missing(limit.needed()) == ()
