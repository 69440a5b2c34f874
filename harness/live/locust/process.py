"""A process of Locust.

    ... process single --socket FD                     # the only process
    ... process master --socket FD --bind HOST PORT    # passes messages between the harness and the workers
    ... process worker --master HOST PORT [--measure]  # here, or on another machine

Workers reach the harness through their master, over Locust's own connection; the master, or the only process, over a
socket that it inherits.
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

from harness.live.locust import protocol
from harness.live.locust.relay import Relay
from harness.live.locust.users import ArrivalShape, make_environment
from harness.live.locust.worker import Worker

REPORT_S = 0.5
"""How often workers send their statistics to Locust's master (Locust's default: 3 s)."""

SILENCE_S = 10.0
"""A worker ends when it has not heard from its master for this long (Locust's default: 60 s)."""

log = logging.getLogger("harness.load")


def single(fd: int) -> None:
    shape = ArrivalShape(1)
    worker = Worker(measure=False)
    environment = make_environment(worker.slots, shape)
    runner = environment.create_local_runner()
    environment.events.init.fire(environment=environment, runner=runner, web_ui=None)
    relay = Relay(fd, environment, shape)
    worker.start(environment)
    relay.ended.wait()
    worker.slots.close()
    environment.events.quitting.fire(environment=environment, reverse=True)
    runner.quit()


def master(fd: int, host: str, port: int, workers: int) -> None:
    shape = ArrivalShape(workers)
    environment = make_environment(None, shape)
    runner = environment.create_master_runner(host, port)
    environment.events.init.fire(environment=environment, runner=runner, web_ui=None)
    relay = Relay(fd, environment, shape)
    relay.send(protocol.Listening(runner.server.port))
    relay.ended.wait()
    # Locust's master listens to this event itself, and ends its workers.
    environment.events.quitting.fire(environment=environment, reverse=True)


def worker(host: str, port: int, *, measure: bool) -> int:
    """Returns the exit code: 1 when there was no master."""
    worker = Worker(measure=measure)
    environment = make_environment(worker.slots, None, Namespace(web_base_path="", headless=True))
    environment.events.test_stopping.add_listener(lambda **_: worker.slots.close())
    try:
        runner = environment.create_worker_runner(host, port)
    except ConnectionError:
        log.error("no run has waited for workers at %s:%d for five minutes", host, port)
        return 1
    environment.events.init.fire(environment=environment, runner=runner, web_ui=None)
    worker.start(environment)
    runner.greenlet.join()
    environment.events.quitting.fire(environment=environment, reverse=True)
    return 0


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="harness.live.locust.process")
    parser.add_argument("mode", choices=("single", "master", "worker"))
    parser.add_argument("--socket", type=int)
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
        case "single":
            single(given.socket)
        case "master":
            master(given.socket, given.bind[0], int(given.bind[1]), given.workers)
        case "worker":
            code = worker(given.master[0], int(given.master[1]), measure=given.measure)
    logging.shutdown()
    # Threads of Locust's libraries, and clients that did not leave, would keep the process running.
    os._exit(code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
