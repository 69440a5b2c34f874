"""`Line`: the socket between the harness and a process that speaks for the load: Locust's master, or the only one."""

from __future__ import annotations

import os
import time
from collections import deque
from typing import Any

import gevent
import gevent.event
import gevent.socket
from locust.env import Environment
from locust.runners import STATE_MISSING

from harness.live.locust import protocol as words
from harness.live.locust.bridge import vital
from harness.live.locust.users import ByArrivals

LOST_S = 0.5
"""How often a master looks whether its workers are still there."""

TOTALS_S = 4.0
"""How long a master waits for its workers' last statistics."""


class Line:
    """The socket to the harness, of a master or of a process that is alone."""

    def __init__(self, fd: int, environment: Environment, shape: ByArrivals) -> None:
        self._socket = gevent.socket.socket(fileno=fd)
        self._runner: Any = environment.runner
        self._shape = shape
        self._queue: deque[bytes] = deque()
        self._some = gevent.event.Event()
        self._workers: dict[str, bool] = {}
        self.ended = gevent.event.Event()
        self._runner.register_message(words.UP, self._up)
        self._runner.register_message(words.NEEDS, self._needs)
        self._runner.register_message(words.PING, self._ping)
        for life in (self._write, self._read, self._look):
            vital(life)

    def send(self, worker: str, batch: str) -> None:
        self._queue.append(words.frame(worker, batch))
        self._some.set()

    def _write(self) -> None:
        while True:
            self._some.wait()
            self._some.clear()
            while self._queue:
                self._socket.sendall(self._queue[0])
                self._queue.popleft()

    def _up(self, environment: Any, msg: Any, **_: Any) -> None:
        self._workers.setdefault(msg.node_id, False)
        self.send(msg.node_id, msg.data["batch"])

    def _needs(self, environment: Any, msg: Any, **_: Any) -> None:
        self._shape.needs(int(msg.data["users"]))

    def _ping(self, environment: Any, msg: Any, **_: Any) -> None:
        now_s = time.monotonic()  # noqa: TID251 (the clock that is compared)
        self._runner.send_message(words.PONG, {"sent": msg.data["sent"], "master": now_s}, msg.node_id)

    def _read(self) -> None:
        reader = self._socket.makefile("rb")
        while header := reader.read(words.HEADER_BYTES):
            worker, batch = words.unframe(reader.read(int.from_bytes(header)))
            if worker:
                self._runner.send_message(words.DOWN, {"batch": batch}, worker)
                continue
            for message in words.unpack(batch):
                match message:
                    case words.Stand():
                        self._runner.start_shape()
                    case words.End(requests):
                        vital(self._end, requests)
        # The harness is gone.
        os._exit(1)

    def _end(self, requests: int) -> None:
        """Wait for the workers' last statistics; then tell the sums, and end."""
        stats = self._runner.stats
        deadline_s = time.monotonic() + TOTALS_S  # noqa: TID251
        while stats.total.num_requests < requests and time.monotonic() < deadline_s:  # noqa: TID251
            gevent.sleep(0.02)
        by_name = {
            f"{method} {name}": [entry.num_requests, entry.num_failures]
            for (name, method), entry in sorted(stats.entries.items())
        }
        total = stats.total
        totals = words.Totals(total.num_requests, total.num_failures, by_name, self._shape.tick()[0])
        self.send("", words.pack([totals]))
        while self._queue:
            gevent.sleep(0.005)
        self.ended.set()

    def _look(self) -> None:
        """Tell of workers that are not there any more."""
        clients = getattr(self._runner, "clients", None)
        while clients is not None and not self.ended.is_set():
            for worker, told in list(self._workers.items()):
                there = clients.get(worker)
                if not told and (there is None or there.state == STATE_MISSING):
                    self._workers[worker] = True
                    self.send(worker, words.pack([words.Lost("Locust's master does not hear it any more")]))
            gevent.sleep(LOST_S)
