"""The proxy server under many connections and under toxics: ratios to the direct connection in the same run.

`make bench` prints one table; every figure is the median of rounds in turn. Small requests: 1 KB over 16 connections.
Nothing but the work itself is asserted: the figures are for comparison.
"""

from __future__ import annotations

import json
import select
import socket
import statistics
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from pytest_benchmark.fixture import BenchmarkFixture

from tests.benchmarks.proxy_programs import ANSWER, REQUEST
from tests.benchmarks.test_proxy_throughput import ROUNDS, processor_s, program, small

CONNECTS, WIDTH = 1000, 16
STREAMS, STREAM_BYTES = 8, 48 << 20


def connects(port: int) -> float:
    """Connections a second, 16 at a time: each with one request, closed when it is answered."""
    waiting: dict[int, tuple[socket.socket, int]] = {}
    with select.epoll() as poll:

        def start() -> None:
            sock = socket.create_connection(("127.0.0.1", port))
            sock.sendall(REQUEST)
            waiting[sock.fileno()] = (sock, 0)
            poll.register(sock, select.EPOLLIN)

        start_s = time.perf_counter()
        started = done = 0
        while done < CONNECTS:
            while len(waiting) < WIDTH and started < CONNECTS:
                start()
                started += 1
            for fd, _ in poll.poll(30):
                sock, got = waiting[fd]
                read = len(sock.recv(4096))
                if read and got + read < len(ANSWER):
                    waiting[fd] = (sock, got + read)
                    continue
                assert got + read == len(ANSWER)
                del waiting[fd]
                sock.close()
                done += 1
        return CONNECTS / (time.perf_counter() - start_s)


@contextmanager
def source() -> Iterator[int]:
    """The port of a server that sends STREAM_BYTES to everybody who connects."""
    piece = memoryview(bytes(1 << 20))

    def pour(sock: socket.socket) -> None:
        with sock:
            for _ in range(STREAM_BYTES // len(piece)):
                sock.sendall(piece)

    def accept() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=pour, args=(sock,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def streams(port: int) -> float:
    """Bytes a second over 8 connections at once."""

    buffer = bytearray(1 << 20)
    with ExitStack() as held, select.epoll() as poll:
        socks = {}
        start_s = time.perf_counter()
        for _ in range(STREAMS):
            sock = held.enter_context(socket.create_connection(("127.0.0.1", port)))
            socks[sock.fileno()] = sock
            poll.register(sock, select.EPOLLIN)
        got = 0
        while socks:
            for fd, _ in poll.poll(30):
                read = socks[fd].recv_into(buffer)
                got += read
                if not read:
                    poll.unregister(fd)
                    del socks[fd]
        assert got == STREAMS * STREAM_BYTES
        return got / (time.perf_counter() - start_s)


class Server:
    """A server with a proxy to each of two upstreams."""

    def __init__(self, running: ExitStack, flags: tuple[str, ...], ports: dict[str, int]) -> None:
        self.process, line = running.enter_context(
            program("harness.toxiproxy", "serve", "--port", "0", *flags)
        )
        self.url = json.loads(line)["api"]
        self.ports = {}
        for name, port in ports.items():
            body = {"name": name, "listen": "127.0.0.1:0", "upstream": f"127.0.0.1:{port}"}
            self.ports[name] = int(self.post("/proxies", body)["listen"].rsplit(":", 1)[1])

    def post(self, path: str, body: object) -> dict[str, str]:
        with urllib.request.urlopen(self.url + path, json.dumps(body).encode()) as answer:
            found: dict[str, str] = json.loads(answer.read() or b"{}")
            return found

    def toxics(self, kind: str, **attributes: int) -> None:
        for stream in ("upstream", "downstream"):
            self.post("/proxies/small/toxics", {"type": kind, "stream": stream, "attributes": attributes})


ROWS: dict[str, tuple[str, Callable[[int], float], dict[str, dict[str, int]]]] = {
    "new connections": ("small", connects, {}),
    "bulk, 8 connections": ("bulk", streams, {}),
    "small requests": ("small", small, {}),
    "small requests, noop": ("small", small, {"noop": {}}),
    "small requests, latency 0": ("small", small, {"latency": {}}),
    "small requests, bandwidth 1 GB/s": ("small", small, {"bandwidth": {"rate": 1_000_000}}),
    "small requests, slicer of 100 B": ("small", small, {"slicer": {"average_size": 100}}),
}


def test_the_table(benchmark: BenchmarkFixture) -> None:

    def run() -> list[str]:
        lines = [f"{'':36}{'direct/s':>14}{'uvloop':>9}{'CPU s':>8}{'standard':>10}{'CPU s':>8}"]
        with ExitStack() as running:
            _, line = running.enter_context(program("tests.benchmarks.proxy_programs", "upstream"))
            ports = {"small": int(line), "bulk": running.enter_context(source())}
            servers = {
                name: Server(running, flags, ports)
                for name, flags in {"uvloop": (), "standard": ("--no-uvloop",)}.items()
            }
            for title, (upstream, work, toxics) in ROWS.items():
                for server in servers.values():
                    server.post("/reset", None)
                    for kind, attributes in toxics.items():
                        server.toxics(kind, **attributes)
                direct: list[float] = []
                ratios: dict[str, list[float]] = {name: [] for name in servers}
                spent: dict[str, list[float]] = {name: [] for name in servers}
                for _ in range(ROUNDS):
                    direct.append(work(ports[upstream]))
                    for name, server in servers.items():
                        before_s = processor_s(server.process)
                        ratios[name].append(work(server.ports[upstream]) / direct[-1])
                        spent[name].append(processor_s(server.process) - before_s)
                row = f"{title:36}{statistics.median(direct):14.0f}"
                for name, width in (("uvloop", 9), ("standard", 10)):
                    row += (
                        f"{statistics.median(ratios[name]):{width}.2f}{statistics.median(spent[name]):8.3f}"
                    )
                lines.append(row)
        return lines

    table = benchmark.pedantic(run, rounds=1, warmup_rounds=0)
    benchmark.extra_info["table"] = table
    print("\n" + "\n".join(table))
