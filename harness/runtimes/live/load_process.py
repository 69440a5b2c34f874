"""A process of the load: Locust in the main thread, clients in an asyncio loop in a second one.

    ... load_process alone --line FD                        # one process
    ... load_process master --line FD --bind HOST PORT      # speaks for its workers to the harness
    ... load_process worker --master HOST PORT [--measure]  # here, or on another machine

Workers reach the harness through their master, over Locust's own channel; the master, or the process that is alone,
over a socket that it was started with.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import platform
import signal
import sys
import time
from collections import deque
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

os.environ["LOCUST_SKIP_MONKEY_PATCH"] = "1"
os.environ.setdefault("LOCUST_WAIT_FOR_WORKERS_REPORT_AFTER_RAMP_UP", "0.1")

import gevent
import gevent.event
import gevent.socket
import locust.runners
from configargparse import Namespace
from locust.env import Environment

from harness.runtimes.live import load_words as words
from harness.runtimes.live.host import LiveClock
from harness.runtimes.live.load_clients import Clients
from harness.runtimes.live.load_clock import Estimate, SteeredClock
from harness.workload.locust.bridge import Bridge
from harness.workload.locust.users import STAND_BY, USER, ByArrivals, Ended, Seats, make_environment
from harness.workload.records import LoadRequest
from harness.workload.schedule import Arrival

REPORT_S = 0.5
"""How often workers tell Locust's master their statistics (Locust's own: 3 s)."""

SILENCE_S = 10.0
"""A worker ends when it has not heard its master for so long (Locust's own: 60 s)."""

LOST_S = 0.5
"""How often a master looks whether its workers are still there."""

TOTALS_S = 4.0
"""How long a master waits for its workers' last statistics."""

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
                message = words.Finished(message.requests, self._seats.added, message.cpu_s)
            batch.append(message)
        if batch:
            self.send(*batch)

    # ------------------------------------------------------------------ from the harness

    def _heard(self, environment: Any, msg: Any, **_: Any) -> None:
        for message in words.unpack(msg.data["batch"]):
            match message:
                case words.Prepare():
                    gevent.spawn(self._prepare, message)
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
            gevent.spawn(self._keep_measuring)
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
            self.tell(words.Finished(0, 0, 0.0))
        else:
            self._leaving = asyncio.ensure_future(self._clients.leave())

    def _counted(self, request: LoadRequest, name: str, failed: str | None) -> None:
        self._bridge.to_gevent(self._fire, request, name, failed)

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

    def stop(self) -> None:
        self._bridge.stop()


class RequestFailed(Exception):
    """What Locust counts as a failure."""


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
        gevent.spawn(self._write)
        gevent.spawn(self._read)
        gevent.spawn(self._look)

    def send(self, worker: str, batch: str) -> None:
        self._queue.append(words.frame(worker, batch))
        self._some.set()

    def _write(self) -> None:
        while True:
            self._some.wait()
            self._some.clear()
            while self._queue:
                self._socket.sendall(self._queue.popleft())

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
                        gevent.spawn(self._end, requests)
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
                if not told and (there is None or there.state == locust.runners.STATE_MISSING):
                    self._workers[worker] = True
                    self.send(worker, words.pack([words.Lost("Locust's master does not hear it any more")]))
            gevent.sleep(LOST_S)


def alone(fd: int) -> None:
    shape = ByArrivals(1)
    place = Place()
    environment = make_environment(place.seats, shape)
    runner = environment.create_local_runner()
    environment.events.init.fire(environment=environment, runner=runner, web_ui=None)
    line = Line(fd, environment, shape)
    place.fill(Worker(environment, place.seats, measure=False))
    line.ended.wait()
    place.seats.close()
    runner.quit()


def master(fd: int, host: str, port: int, workers: int) -> None:
    shape = ByArrivals(workers)
    environment = make_environment(None, shape)
    runner = environment.create_master_runner(host, port)
    environment.events.init.fire(environment=environment, runner=runner, web_ui=None)
    line = Line(fd, environment, shape)
    line.send("", words.pack([words.Listening(runner.server.port)]))
    line.ended.wait()
    runner.quit()


def worker(host: str, port: int, *, measure: bool) -> int:
    """Returns the exit code: 1 when there was no master."""
    place = Place()
    environment = make_environment(place.seats, None, Namespace(web_base_path="", headless=True))
    environment.events.test_stopping.add_listener(lambda **_: place.seats.close())
    try:
        runner = environment.create_worker_runner(host, port)
    except ConnectionError:
        log.error("no run has waited for workers at %s:%d for five minutes", host, port)
        return 1
    environment.events.init.fire(environment=environment, runner=runner, web_ui=None)
    place.fill(Worker(environment, place.seats, measure=measure))
    runner.greenlet.join()
    return 0


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


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="harness.runtimes.live.load_process")
    parser.add_argument("mode", choices=("alone", "master", "worker"))
    parser.add_argument("--line", type=int)
    parser.add_argument("--bind", nargs=2, metavar=("HOST", "PORT"))
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--master", nargs=2, metavar=("HOST", "PORT"))
    parser.add_argument("--measure", action="store_true")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("locust.runners").setLevel(logging.WARNING)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    locust.runners.WORKER_REPORT_INTERVAL = REPORT_S
    locust.runners.MASTER_HEARTBEAT_TIMEOUT = SILENCE_S
    code = 0
    match given.mode:
        case "alone":
            alone(given.line)
        case "master":
            master(given.line, given.bind[0], int(given.bind[1]), given.workers)
        case "worker":
            code = worker(given.master[0], int(given.master[1]), measure=given.measure)
    logging.shutdown()
    # Threads of Locust's libraries and clients that did not leave would keep it.
    os._exit(code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
