"""`Relay`: passes messages between the harness and the workers, in Locust's master or in the only process."""

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

from harness.live.locust import protocol
from harness.live.locust.users import ArrivalShape, spawn_critical
from harness.runtime.messages import SocketChannel

LOST_CHECK_S = 0.5
"""How often a master checks whether its workers are still there."""

TOTALS_S = 4.0
"""How long a master waits for the last statistics of its workers."""


class Relay:
    """`fd`: the socket to the harness. `ended` is set when the harness has asked to end and has got the totals."""

    def __init__(self, fd: int, environment: Environment, shape: ArrivalShape) -> None:
        self._channel = SocketChannel(protocol.SOCKET, gevent.socket.socket(fileno=fd))
        self._runner: Any = environment.runner
        self._shape = shape
        self._queue: deque[protocol.Envelope] = deque()
        self._has_messages = gevent.event.Event()
        self._lost_by_worker: dict[str, bool] = {}
        self.ended = gevent.event.Event()
        self._runner.register_message(protocol.TO_HARNESS, self._on_batch)
        self._runner.register_message(protocol.USERS_NEEDED, self._on_users_needed)
        self._runner.register_message(protocol.PING, self._on_ping)
        for function in (self._write, self._read, self._watch_workers):
            spawn_critical(function)

    def send(self, message: object, *, worker: str = "") -> None:
        """To the harness, about a worker or about this process."""
        self._put(worker, protocol.CODEC.encode(message).decode())

    def _put(self, worker: str, batch: str) -> None:
        self._queue.append(protocol.Envelope(worker, batch))
        self._has_messages.set()

    def _write(self) -> None:
        while True:
            self._has_messages.wait()
            self._has_messages.clear()
            while self._queue:
                self._channel.send(self._queue[0])
                self._queue.popleft()

    def _on_batch(self, environment: Any, msg: Any, **_: Any) -> None:
        self._lost_by_worker.setdefault(msg.node_id, False)
        self._put(msg.node_id, msg.data["batch"])

    def _on_users_needed(self, environment: Any, msg: Any, **_: Any) -> None:
        self._shape.require(int(msg.data["users"]))

    def _on_ping(self, environment: Any, msg: Any, **_: Any) -> None:
        now_s = time.monotonic()  # noqa: TID251 (the clock that is compared)
        self._runner.send_message(protocol.PONG, {"sent": msg.data["sent"], "master": now_s}, msg.node_id)

    def _read(self) -> None:
        while (envelope := self._channel.receive()) is not None:
            if envelope.worker:
                self._runner.send_message(protocol.TO_WORKER, {"batch": envelope.batch}, envelope.worker)
                continue
            for message in protocol.CODEC.decode(envelope.batch):
                match message:
                    case protocol.StartUsers():
                        self._runner.start_shape()
                    case protocol.End(requests):
                        spawn_critical(self._end, requests)
        # The harness has ended.
        os._exit(1)

    def _end(self, requests: int) -> None:
        """Wait for the last statistics of the workers, send the totals, then end."""
        stats = self._runner.stats
        deadline_s = time.monotonic() + TOTALS_S  # noqa: TID251
        while stats.total.num_requests < requests and time.monotonic() < deadline_s:  # noqa: TID251
            gevent.sleep(0.02)
        by_name = {
            f"{method} {name}": (entry.num_requests, entry.num_failures)
            for (name, method), entry in sorted(stats.entries.items())
        }
        total = stats.total
        self.send(protocol.Totals(total.num_requests, total.num_failures, by_name, self._shape.tick()[0]))
        while self._queue:
            gevent.sleep(0.005)
        self.ended.set()

    def _watch_workers(self) -> None:
        """Report workers that are lost, once each."""
        clients = getattr(self._runner, "clients", None)
        while clients is not None and not self.ended.is_set():
            for worker, lost in list(self._lost_by_worker.items()):
                client = clients.get(worker)
                if not lost and (client is None or client.state == STATE_MISSING):
                    self._lost_by_worker[worker] = True
                    self.send(protocol.Lost("Locust's master no longer hears from it"), worker=worker)
            gevent.sleep(LOST_CHECK_S)
