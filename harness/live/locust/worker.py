"""`Worker`: a process that runs clients: Locust's users in gevent's thread, their sessions in the asyncio loop."""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import time
from collections import deque
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import gevent
import gevent.event
import locust
from locust.env import Environment

from harness.live import messages
from harness.live.host import LiveClock
from harness.live.locust import protocol
from harness.live.locust.clients import Clients
from harness.live.locust.clock import OffsetEstimate, SteeredClock
from harness.live.locust.users import MIN_USERS, USER, Bridge, OnEnd, UserSlots, spawn_critical
from harness.runtime.messages import MessageError
from harness.text import describe_error
from harness.workload.records import LoadRequest
from harness.workload.schedule import Arrival

FLUSH_AFTER_S = 0.02
"""How long messages wait for others, to be sent together."""

URGENT = (messages.Resolve, protocol.Left, protocol.Finished, messages.Unhandled, messages.Misuse)
"""Messages that do not wait: an answer is needed, or no other may follow for a while."""

EXCHANGES = 20
"""How many exchanges the first comparison of clocks takes."""

log = logging.getLogger("harness.load")


def versions() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        "harness": version("streaming-resilience-harness"),
        "locust": locust.__version__,
    }


class Worker:
    """The users of this process and their sessions. `start` when Locust's environment has its runner.

    `measure`: compare clocks with the master, which is on another machine.
    """

    def __init__(self, *, measure: bool) -> None:
        self.slots = UserSlots(self._start_session, self._request_users, self._add_users)
        self._measure = measure
        self._environment: Environment
        self._runner: Any = None
        self._bridge = Bridge()
        self._clients: Clients | None = None
        self._outbox: deque[object] = deque()
        self._requests: deque[tuple[LoadRequest, str, str | None]] = deque()
        self._flush_is_scheduled = False
        self._flush_is_posted = False
        self._estimate = OffsetEstimate(time.monotonic)  # noqa: TID251 (the clock that is compared)
        self._clock: SteeredClock | None = None

    def start(self, environment: Environment) -> None:
        self._environment = environment
        self._runner = environment.runner
        self._runner.register_message(protocol.TO_WORKER, self._on_batch)
        self._runner.register_message(protocol.PONG, self._on_pong)
        self._bridge.start()
        self._send(protocol.Hello(os.getpid(), platform.node(), versions()))

    # ------------------------------------------------------------------ to the harness

    def _send(self, *messages: object) -> None:
        """In gevent's thread."""
        try:
            batch = protocol.CODEC.encode(*messages)
        except MessageError as error:
            batch = protocol.CODEC.encode(protocol.Broken(str(error)))
        self._runner.send_message(protocol.TO_HARNESS, {"batch": batch.decode()})

    def _put(self, message: object) -> None:
        """In the asyncio thread."""
        self._outbox.append(message)
        if isinstance(message, URGENT):
            self._post_flush()
        elif not self._flush_is_scheduled:
            # Every call of the other thread takes turns on one interpreter lock: many messages, one call.
            self._flush_is_scheduled = True
            self._bridge.loop.call_later(FLUSH_AFTER_S, self._post_flush)

    def _post_flush(self) -> None:
        self._flush_is_scheduled = False
        if not self._flush_is_posted:
            self._flush_is_posted = True
            self._bridge.to_gevent(self._flush)

    def _flush(self) -> None:
        # First: what is appended from now on is in this batch, or posts another flush.
        self._flush_is_posted = False
        batch: list[object] = []
        while self._outbox:
            message = self._outbox.popleft()
            if isinstance(message, protocol.Finished):
                offset_s = self._estimate.offset_s if self._measure else 0.0
                message = replace(message, added=self.slots.added, offset_s=offset_s)
            batch.append(message)
        while self._requests:
            self._fire(*self._requests.popleft())
        if batch:
            self._send(*batch)

    # ------------------------------------------------------------------ from the harness

    def _on_batch(self, environment: Any, msg: Any, **_: Any) -> None:
        for message in protocol.CODEC.decode(msg.data["batch"]):
            match message:
                case protocol.Prepare():
                    spawn_critical(self._prepare, message)
                case protocol.Start():
                    self._bridge.to_asyncio(self._start_load, message)
                case messages.Route():
                    assert self._clients is not None
                    self._bridge.to_asyncio(self._clients.set_route, message)
                case protocol.Leave():
                    self.slots.close()
                    self._bridge.to_asyncio(self._leave)

    def _prepare(self, message: protocol.Prepare) -> None:
        offset_s = uncertain_s = 0.0
        if self._measure:
            if not self._exchange(EXCHANGES):
                self._send(protocol.Broken("the master did not answer when clocks were compared"))
                return
            offset_s, uncertain_s = self._estimate.offset_s, self._estimate.uncertain_s
            spawn_critical(self._keep_measuring)
        loaded: Any = gevent.event.AsyncResult()
        self._bridge.to_asyncio(self._load_system, message, offset_s, loaded)
        error = loaded.get()
        if error is not None:
            self._send(protocol.Broken(error))
            return
        self._send(protocol.Prepared(offset_s, uncertain_s))
        while self.slots.waiting < MIN_USERS:
            gevent.sleep(0.01)
        self._send(protocol.UsersReady(self.slots.waiting))

    def _load_system(self, message: protocol.Prepare, offset_s: float, loaded: Any) -> None:
        """In the asyncio thread."""
        error: str | None = None
        try:
            if self._measure:
                self._clock = SteeredClock(message.origin_s, offset_s)
            clock = self._clock or LiveClock(message.origin_s)
            self._clients = Clients(message, self._put, self._on_request, clock)
        except Exception as raised:  # sent to the harness, which ends the run
            log.exception("the system could not be loaded")
            error = describe_error(raised)
        self._bridge.to_gevent(loaded.set, error)

    def _start_load(self, message: protocol.Start) -> None:
        """In the asyncio thread."""
        assert self._clients is not None
        arrivals = self._clients.start_load(message)
        self._bridge.to_gevent(self.slots.schedule, arrivals, self._clients.elapsed_s)

    def _leave(self) -> None:
        """In the asyncio thread."""
        if self._clients is None:
            self._put(protocol.Finished())
        else:
            self._leaving = asyncio.ensure_future(self._clients.leave())

    # ------------------------------------------------------------------ Locust's users and statistics

    def _start_session(self, arrival: Arrival, on_end: OnEnd) -> None:
        assert self._clients is not None
        self._bridge.to_asyncio(
            self._clients.start_session, arrival, lambda error: self._bridge.to_gevent(on_end, error)
        )

    def _request_users(self, users: int) -> None:
        self._runner.send_message(protocol.USERS_NEEDED, {"users": users})

    def _add_users(self, users: int) -> None:
        self._runner.spawn_users({USER: users})

    def _on_request(self, request: LoadRequest, name: str, failure: str | None) -> None:
        """In the asyncio thread. The next flush reports it to Locust; the request's own message causes one."""
        self._requests.append((request, name, failure))

    def _fire(self, request: LoadRequest, name: str, failure: str | None) -> None:
        """Locust's own event of a request, for its statistics and other listeners."""
        self._environment.events.request.fire(
            request_type=request.method,
            name=name,
            response_time=request.latency_s * 1e3,
            response_length=request.bytes,
            exception=None if failure is None else RequestFailed(failure),
            context={"client": request.client, "started_at_s": request.started_at_s},
            url=request.path,
            response=None,
        )

    # ------------------------------------------------------------------ clocks of different machines

    def _exchange(self, times: int) -> bool:
        """Compare clocks with the master; False when it does not answer."""
        for _ in range(times):
            self._estimate.start_exchange()
            self._runner.send_message(protocol.PING, {"sent": self._estimate.sent_s})
            if not self._wait_for_pong():
                return False
        return True

    def _wait_for_pong(self) -> bool:
        deadline_s = time.monotonic() + 2.0  # noqa: TID251
        while self._estimate.waiting:
            if time.monotonic() > deadline_s:  # noqa: TID251
                return False
            gevent.sleep(0.0005)
        return True

    def _on_pong(self, environment: Any, msg: Any, **_: Any) -> None:
        self._estimate.finish_exchange(msg.data["sent"], msg.data["master"])

    def _keep_measuring(self) -> None:
        while True:
            gevent.sleep(protocol.MEASURE_EVERY_S)
            self._exchange(5)
            if self._clock is not None:
                self._bridge.to_asyncio(self._clock.steer, self._estimate.offset_s)


class RequestFailed(Exception):
    """What Locust counts as a failure."""
