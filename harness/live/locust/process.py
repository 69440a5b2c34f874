"""A process of the load: Locust in the main thread, clients in an asyncio loop in a second one.

    ... process alone --line FD                        # one process
    ... process master --line FD --bind HOST PORT      # speaks for its workers to the harness
    ... process worker --master HOST PORT [--measure]  # here, or on another machine

Workers reach the harness through their master, over Locust's own channel; the master, or the process that is alone,
over a socket that it was started with.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import signal
import sys
from collections.abc import Sequence

os.environ["LOCUST_SKIP_MONKEY_PATCH"] = "1"
os.environ.setdefault("LOCUST_WAIT_FOR_WORKERS_REPORT_AFTER_RAMP_UP", "0.1")

import locust.runners
from configargparse import Namespace

from harness.live.locust import protocol as words
from harness.live.locust.line import Line
from harness.live.locust.users import ByArrivals, make_environment
from harness.live.locust.worker import Place, Worker

REPORT_S = 0.5
"""How often workers tell Locust's master their statistics (Locust's own: 3 s)."""

SILENCE_S = 10.0
"""A worker ends when it has not heard its master for so long (Locust's own: 60 s)."""

log = logging.getLogger("harness.load")


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
    environment.events.quitting.fire(environment=environment, reverse=True)
    runner.quit()


def master(fd: int, host: str, port: int, workers: int) -> None:
    shape = ByArrivals(workers)
    environment = make_environment(None, shape)
    runner = environment.create_master_runner(host, port)
    environment.events.init.fire(environment=environment, runner=runner, web_ui=None)
    line = Line(fd, environment, shape)
    line.send("", words.pack([words.Listening(runner.server.port)]))
    line.ended.wait()
    # Locust's master listens to this itself, and ends its workers.
    environment.events.quitting.fire(environment=environment, reverse=True)


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
    environment.events.quitting.fire(environment=environment, reverse=True)
    return 0


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="harness.live.locust.process")
    parser.add_argument("mode", choices=("alone", "master", "worker"))
    parser.add_argument("--line", type=int)
    parser.add_argument("--bind", nargs=2, metavar=("HOST", "PORT"))
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--master", nargs=2, metavar=("HOST", "PORT"))
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--plugin", action="append", default=[])
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("locust.runners").setLevel(logging.WARNING)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    locust.runners.WORKER_REPORT_INTERVAL = REPORT_S
    locust.runners.MASTER_HEARTBEAT_TIMEOUT = SILENCE_S
    for plugin in given.plugin:
        try:
            importlib.import_module(plugin)
        except ImportError as error:
            log.error("--locust-plugin %s: %s", plugin, error)
            return 1
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
