"""Out of descriptors: the API answers throughout, and everything works again afterwards, without a restart."""

from __future__ import annotations

import contextlib
import json
import resource
import socket
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from harness.toxiproxy.descriptors import Descriptors
from tests.toxiproxy.process import ask, echoing, request, serving

LOOPS = pytest.mark.parametrize("flags", [(), ("-no-uvloop",)], ids=["uvloop", "standard loop"])


def limited(soft: int, hard: int) -> Any:
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def call(method: str, url: str) -> Any:
    with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=5) as answer:
        return json.loads(answer.read() or b"null")


@LOOPS
@pytest.mark.parametrize(
    "toxic",
    [
        {"type": "latency", "stream": "upstream", "attributes": {"latency": 60_000}},
        {"type": "bandwidth", "stream": "upstream", "attributes": {"rate": 0}},
        {"type": "timeout", "attributes": {"timeout": 0}},
    ],
    ids=["latency", "bandwidth", "timeout"],
)
def test_three_hundred_abandoned_connections_with_256_descriptors(
    flags: tuple[str, ...], toxic: dict[str, Any]
) -> None:
    with (
        serving("-port", "0", *flags, preexec_fn=limited(256, 256)) as (process, url),
        echoing() as upstream,
    ):
        proxy = request(f"{url}/proxies", {"name": "p", "listen": "127.0.0.1:0", "upstream": upstream})
        request(f"{url}/proxies/p/toxics", {"name": "t", **toxic})
        host, port = proxy["listen"].rsplit(":", 1)
        for number in range(300):
            with socket.create_connection((host, int(port)), timeout=5) as client:
                client.sendall(b"request")
            if number % 20 == 0:
                assert call("GET", f"{url}/version")
        assert len(list(Path(f"/proc/{process.pid}/fd").iterdir())) < 256 - 16
        assert request(f"{url}/proxies", {"name": "q", "listen": "127.0.0.1:0", "upstream": upstream})
        call("DELETE", f"{url}/proxies/p/toxics/t")
        call("POST", f"{url}/proxies/p/connections/reset")
        assert ask(proxy["listen"]) == b"hello"
        wait_until_idle(url)
        for _ in range(20):
            assert ask(proxy["listen"]) == b"hello"


def wait_until_idle(url: str) -> None:
    deadline_s = time.monotonic() + 10  # noqa: TID251
    while call("GET", f"{url}/proxies/p/connections")["open"]:
        assert time.monotonic() < deadline_s  # noqa: TID251
        time.sleep(0.01)  # noqa: TID251


@LOOPS
def test_idle_clients_of_the_api_make_room_for_others(flags: tuple[str, ...]) -> None:
    with (
        serving("-port", "0", *flags, preexec_fn=limited(256, 256)) as (_, url),
        contextlib.ExitStack() as held,
    ):
        host, port = url.removeprefix("http://").rsplit(":", 1)
        for _ in range(200):
            held.enter_context(socket.create_connection((host, int(port)), timeout=5))
        for _ in range(5):
            assert call("GET", f"{url}/version")


@LOOPS
def test_the_soft_limit_is_raised_to_the_hard_one(flags: tuple[str, ...]) -> None:
    with serving("-port", "0", *flags, preexec_fn=limited(128, 1024)) as (process, _):
        assert resource.prlimit(process.pid, resource.RLIMIT_NOFILE) == (1024, 1024)


def test_what_is_given_back_wakes_who_waits() -> None:
    descriptors = Descriptors(256)
    taken = 0
    while descriptors.take(2):
        taken += 2
    assert 256 - taken >= descriptors.reserve == 64
    woken: list[int] = []
    descriptors.when_free(lambda: woken.append(1))
    assert not descriptors.take(2)
    descriptors.give_back(2)
    descriptors.give_back(2)
    assert woken == [1]
    assert descriptors.take(2)


def test_what_can_do_without_takes_none_of_the_second_half() -> None:
    descriptors = Descriptors(256)
    before = descriptors.free
    while descriptors.take_spare(2):
        pass
    assert before // 2 - 2 <= descriptors.free <= before // 2
    assert descriptors.take(2)
