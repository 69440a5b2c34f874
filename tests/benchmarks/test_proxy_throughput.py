"""What a proxy without toxics costs, as ratios to the direct connection measured in the same minute.

The aims (issue 3): bulk at least 0.5 of direct, keep-alive HTTP of 1 KB over 16 connections at least 0.6, 100 µs
more at the median. The proxy needs a core of its own for that: client, proxy and upstream are three processes.
What is asserted leaves room for machines that are busy or have fewer; the figures are in the benchmark's
extra_info (`make bench`).
"""

from __future__ import annotations

import json
import select
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from tests.benchmarks.proxy_programs import ANSWER, BULK, BULK_BYTES, REQUEST

ROUNDS = 3
CONNECTIONS, REQUESTS = 16, 6000

BUSY = 3
"""How much worse it may be among other tests (`--benchmark-disable`), where all cores are taken."""

BULK_FLOOR, SMALL_FLOOR, ADDED_LIMIT_S = 0.2, 0.25, 400e-6


@contextmanager
def program(*arguments: str) -> Iterator[str]:
    """A process, and the first line that it prints."""
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline()
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def ports() -> Iterator[dict[str, int]]:
    """Where to connect: to the upstream directly, and through each proxy."""
    with ExitStack() as running:
        upstream = int(running.enter_context(program("tests.benchmarks.proxy_programs", "upstream")))
        found = {"direct": upstream}
        found["streams"] = int(
            running.enter_context(program("tests.benchmarks.proxy_programs", "streams", str(upstream)))
        )
        for name, flags in {"standard loop": ("--no-uvloop",), "uvloop": ()}.items():
            line = running.enter_context(program("harness.toxiproxy", "serve", "--port", "0", *flags))
            body = {"name": "p", "listen": "127.0.0.1:0", "upstream": f"127.0.0.1:{upstream}"}
            with urllib.request.urlopen(
                json.loads(line)["api"] + "/proxies", json.dumps(body).encode()
            ) as answer:
                found[name] = int(json.load(answer)["listen"].rsplit(":", 1)[1])
        yield found


def connect(port: int) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port), timeout=30)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def bulk(port: int) -> float:
    """Bytes a second of one large answer."""
    buffer = bytearray(1 << 20)
    with connect(port) as sock:
        start_s = time.perf_counter()
        sock.sendall(BULK)
        got = 0
        while read := sock.recv_into(buffer):
            got += read
        assert got == BULK_BYTES
        return got / (time.perf_counter() - start_s)


def small(port: int) -> float:
    """Requests a second over 16 keep-alive connections, each with one request on the way."""
    with ExitStack() as held, select.epoll() as poll:
        socks = {
            sock.fileno(): sock for sock in (held.enter_context(connect(port)) for _ in range(CONNECTIONS))
        }
        done = 0
        start_s = time.perf_counter()
        for fd, sock in socks.items():
            poll.register(fd, select.EPOLLIN)
            sock.sendall(REQUEST)
        while done < REQUESTS:
            for fd, _ in poll.poll(30):
                got = len(socks[fd].recv(4096))
                while got < len(ANSWER):
                    got += len(socks[fd].recv(4096))
                done += 1
                socks[fd].sendall(REQUEST)
        return done / (time.perf_counter() - start_s)


def median_s(port: int) -> float:
    """Median of the time of a request on an idle connection."""
    times = []
    with connect(port) as sock:
        for _ in range(500):
            start_s = time.perf_counter()
            sock.sendall(REQUEST)
            got = 0
            while got < len(ANSWER):
                got += len(sock.recv(4096))
            times.append(time.perf_counter() - start_s)
    return statistics.median(times)


def measure(
    ports: dict[str, int], what: Callable[[int], float], best: Callable[[list[float]], float]
) -> dict[str, float]:
    """The best of some rounds in turn, so that a busy moment of the machine falls on all alike."""
    found: dict[str, list[float]] = {name: [] for name in ports}
    for _ in range(ROUNDS):
        for name, port in ports.items():
            found[name].append(what(port))
    return {name: best(values) for name, values in found.items()}


@pytest.mark.parametrize(("what", "floor"), [(bulk, BULK_FLOOR), (small, SMALL_FLOOR)])
def test_throughput_in_proportion_to_the_direct_connection(
    benchmark: BenchmarkFixture, ports: dict[str, int], what: Callable[[int], float], floor: float
) -> None:
    found = benchmark.pedantic(measure, args=(ports, what, max), rounds=1, warmup_rounds=0)
    ratios = {name: round(value / found["direct"], 2) for name, value in found.items()}
    benchmark.extra_info |= {"ratios": ratios, "direct_per_s": round(found["direct"])}
    print(what.__name__, ratios)
    ours = max(ratios["standard loop"], ratios["uvloop"])
    assert ours >= (floor / BUSY if benchmark.disabled else floor)
    assert ours >= 0.8 * ratios["streams"]


def test_added_latency(benchmark: BenchmarkFixture, ports: dict[str, int]) -> None:
    found = benchmark.pedantic(measure, args=(ports, median_s, min), rounds=1, warmup_rounds=0)
    added_us = {name: round((value - found["direct"]) * 1e6) for name, value in found.items()}
    benchmark.extra_info |= {"added_us": added_us, "direct_us": round(found["direct"] * 1e6)}
    print("added µs", added_us)
    limit_s = ADDED_LIMIT_S * BUSY if benchmark.disabled else ADDED_LIMIT_S
    assert min(found["standard loop"], found["uvloop"]) - found["direct"] < limit_s
