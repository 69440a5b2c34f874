"""`Worker`: a process of the load that clients live in: Locust's users here, their sessions in the asyncio loop."""

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

from harness.live.host import LiveClock
from harness.live.locust import protocol as words
from harness.live.locust.bridge import Bridge, vital
from harness.live.locust.clients import Clients
from harness.live.locust.clock import Estimate, SteeredClock
from harness.live.locust.users import STAND_BY, USER, Ended, Seats
from harness.workload.records import LoadRequest
from harness.workload.schedule import Arrival

GATHER_S = 0.02
"""How long rows may wait for others, to go together."""

URGENT = (words.Resolve, words.Left, words.Finished, words.Unhandled)
"""What does not wait: somebody does for the answer, or it is the last for a while."""

log = logging.getLogger("harness.load")


def versions() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        "harness": version("streaming-resilience-harness"),
        "locust": locust.__version__,
    }


class Worker:
    """The users of this process and their sessions. `runner`: Locust's, of a worker or of a process that is alone."""

    def __init__(self, environment: Environment, seats: Seats, *, measure: bool) -> None:
        self.runner: Any = environment.runner
        self._environment = environment
        self._seats = seats
        self._measure = measure
        self._bridge = Bridge()
        self._clients: Clients | None = None
        self._outbox: deque[object] = deque()
        self._requests: deque[tuple[LoadRequest, str, str | None]] = deque()
        self._waiting = False
        self._flushing = False
        self._estimate = Estimate(time.monotonic)  # noqa: TID251 (the clock that is compared)
        self._clock: SteeredClock | None = None
        self.runner.register_message(words.DOWN, self._heard)
        self.runner.register_message(words.PONG, self._pong)

    def start(self) -> None:
        self._bridge.start()
        self.send(words.Hello(os.getpid(), platform.node(), versions()))

    # ------------------------------------------------------------------ to the harness

    def send(self, *messages: object) -> None:
        """In gevent's thread."""
        try:
            batch = words.pack(messages)
        except TypeError as error:
            batch = words.pack([words.Broken(f"a row that is no data: {error}")])
        self.runner.send_message(words.UP, {"batch": batch})

    def tell(self, message: object) -> None:
        """From the asyncio thread."""
        self._outbox.append(message)
        if isinstance(message, URGENT):
            self._post()
        elif not self._waiting:
            # Every call of the other thread takes turns on one interpreter lock: many messages, one call.
            self._waiting = True
            self._bridge.loop.call_later(GATHER_S, self._post)

    def _post(self) -> None:
        self._waiting = False
        if not self._flushing:
            self._flushing = True
            self._bridge.to_gevent(self._flush)

    def _flush(self) -> None:
        # Before anything is taken: what is appended from now on is in this batch, or posts a flush of its own.
        self._flushing = False
        batch: list[object] = []
        while self._outbox:
            message = self._outbox.popleft()
            if isinstance(message, words.Finished):
                offset_s = self._estimate.offset_s if self._measure else 0.0
                message = replace(message, added=self._seats.added, offset_s=offset_s)
            batch.append(message)
        while self._requests:
            self._fire(*self._requests.popleft())
        if batch:
            self.send(*batch)

    # ------------------------------------------------------------------ from the harness

    def _heard(self, environment: Any, msg: Any, **_: Any) -> None:
        for message in words.unpack(msg.data["batch"]):
            match message:
                case words.Prepare():
                    vital(self._prepare, message)
                case words.Begin():
                    self._bridge.to_asyncio(self._begin, message)
                case words.Route():
                    assert self._clients is not None
                    self._bridge.to_asyncio(self._clients.routed, message)
                case words.Leave():
                    self._seats.close()
                    self._bridge.to_asyncio(self._leave)

    def _prepare(self, message: words.Prepare) -> None:
        offset_s = uncertain_s = 0.0
        if self._measure:
            if not self._exchange():
                self.send(words.Broken("its clock could not be compared with the master's: no answer"))
                return
            offset_s, uncertain_s = self._estimate.offset_s, self._estimate.uncertain_s
            vital(self._keep_measuring)
        done: Any = gevent.event.AsyncResult()
        self._bridge.to_asyncio(self._load_system, message, offset_s, done)
        error = done.get()
        if error is not None:
            self.send(words.Broken(error))
            return
        self.send(words.Prepared(offset_s, uncertain_s))
        while self._seats.standing < STAND_BY:
            gevent.sleep(0.01)
        self.send(words.Standing(self._seats.standing))

    def _load_system(self, message: words.Prepare, offset_s: float, done: Any) -> None:
        error: str | None = None
        try:
            if self._measure:
                self._clock = SteeredClock(message.origin_s, offset_s)
            clock = self._clock or LiveClock(message.origin_s)
            self._clients = Clients(message, self.tell, self._counted, clock)
        except Exception as raised:  # told to the harness, which ends the run
            log.exception("the system could not be loaded")
            error = f"{type(raised).__name__}: {raised}"
        self._bridge.to_gevent(done.set, error)

    def _begin(self, message: words.Begin) -> None:
        """In the asyncio thread."""
        assert self._clients is not None
        arrivals = self._clients.begin(message)
        self._bridge.to_gevent(self._seats.arrive, arrivals, self._clients.elapsed_s)

    def start_session(self, arrival: Arrival, ended: Ended) -> None:
        assert self._clients is not None
        self._bridge.to_asyncio(
            self._clients.start, arrival, lambda error: self._bridge.to_gevent(ended, error)
        )

    def _leave(self) -> None:
        if self._clients is None:
            self.tell(words.Finished())
        else:
            self._leaving = asyncio.ensure_future(self._clients.leave())

    def _counted(self, request: LoadRequest, name: str, failed: str | None) -> None:
        """Told to Locust with the next flush; the request's own message brings that about."""
        self._requests.append((request, name, failed))

    def _fire(self, request: LoadRequest, name: str, failed: str | None) -> None:
        """Locust's own event of a request, for its statistics and whoever else listens."""
        self._environment.events.request.fire(
            request_type=request.method,
            name=name,
            response_time=request.latency_s * 1e3,
            response_length=request.bytes,
            exception=None if failed is None else RequestFailed(failed),
            context={"client": request.client, "started_at_s": request.started_at_s},
            url=request.path,
            response=None,
        )

    # ------------------------------------------------------------------ clocks of different machines

    def _exchange(self, times: int = 20) -> bool:
        """Compare clocks with the master; False when it does not answer."""
        for _ in range(times):
            self._estimate.asked()
            self.runner.send_message(words.PING, {"sent": self._estimate.sent_s})
            if not self._estimate_came():
                return False
        return True

    def _estimate_came(self) -> bool:
        deadline_s = time.monotonic() + 2.0  # noqa: TID251
        while self._estimate.waiting:
            if time.monotonic() > deadline_s:  # noqa: TID251
                return False
            gevent.sleep(0.0005)
        return True

    def _pong(self, environment: Any, msg: Any, **_: Any) -> None:
        self._estimate.answered(msg.data["sent"], msg.data["master"])

    def _keep_measuring(self) -> None:
        while True:
            gevent.sleep(words.MEASURE_EVERY_S)
            self._exchange(5)
            if self._clock is not None:
                self._bridge.to_asyncio(self._clock.steer, self._estimate.offset_s)


class RequestFailed(Exception):
    """What Locust counts as a failure."""


class Place:
    """The seats of a process, which Locust's environment needs before there is a runner, and what they work with."""

    def __init__(self) -> None:
        self.seats = Seats(self._begin, self._need, self._add)
        self._worker: Worker | None = None

    def fill(self, worker: Worker) -> None:
        self._worker = worker
        worker.start()

    def _begin(self, arrival: Arrival, ended: Ended) -> None:
        assert self._worker is not None
        self._worker.start_session(arrival, ended)

    def _need(self, users: int) -> None:
        assert self._worker is not None
        self._worker.runner.send_message(words.NEEDS, {"users": users})

    def _add(self, users: int) -> None:
        assert self._worker is not None
        self._worker.runner.spawn_users({USER: users})
