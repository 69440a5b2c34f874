"""Locust's users: each runs one session after the other, from its arrival to its end.

The schedule of arrivals never waits for the system. Users wait ahead of time (Locust spawns them by a load shape that
follows the arrivals), each for the next arrival; the session starts at its intended time. If
Locust's shape is too late (its clock ticks once a second), users are added beside it, and counted.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import gevent
import gevent.event
from locust import LoadTestShape, User, constant, task
from locust.env import Environment

from harness.workload.schedule import Arrival

log = logging.getLogger("harness.load")


def spawn_critical(function: Callable[..., object], *arguments: object) -> None:
    """Run it in a greenlet. If it raises, this process ends, so that the harness notices at once."""

    def end(greenlet: Any) -> None:
        log.error("a critical greenlet failed: %r", greenlet.exception)
        logging.shutdown()
        os._exit(1)

    gevent.spawn(function, *arguments).link_exception(end)


class Bridge:
    """Created in gevent's thread. The asyncio loop runs in another until the process ends."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="clients", daemon=True)
        self._calls: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._has_calls = gevent.event.Event()
        # The only thing of gevent's that another thread may touch.
        self._watcher = gevent.get_hub().loop.async_()
        self._watcher.start(self._has_calls.set)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    def start(self) -> None:
        self._thread.start()
        spawn_critical(self._serve)

    def to_asyncio(self, function: Callable[..., object], *arguments: object) -> None:
        """Call the function in the loop's thread, soon."""
        self.loop.call_soon_threadsafe(function, *arguments)

    def to_gevent(self, function: Callable[..., object], *arguments: object) -> None:
        """Call the function in a greenlet of gevent's thread, soon and in order."""
        self._calls.append((function, arguments))
        self._watcher.send()

    def _serve(self) -> None:
        while True:
            self._has_calls.wait()
            self._has_calls.clear()
            while self._calls:
                function, arguments = self._calls.popleft()
                function(*arguments)


MIN_USERS = 20
"""Users of each process that wait before the first arrival is known: enough for the first second of a common load."""

AHEAD_S = 4.0
"""How long before they are needed users are requested: Locust's shape ticks once a second, and a master may take a
second more."""

URGENT_S = 0.5
"""An arrival that has no user this long before its time gets one beside the shape."""

CHECK_S = 0.1
"""How often the slots compare the users they have with those they need."""

SPAWN_RATE = 100.0
"""Users a second that Locust may spawn; above, it warns."""

USER = "Session"
"""The name of Locust's class of users."""

type OnEnd = Callable[[str | None], None]
"""Called in gevent's thread at the end of a session, with the error its code raised."""


class SessionFailed(Exception):
    """The code of a client raised; Locust counts it among its exceptions."""


class UserSlots:
    """The users of one process and the arrivals they serve.

    `start(arrival, on_end)` starts a session, now or at its intended time if that is still to come; `request(users)` is
    called when more users are needed than ever before; `add(users)` spawns users at once. All in gevent's thread.
    """

    def __init__(
        self,
        start: Callable[[Arrival, OnEnd], None],
        request: Callable[[int], None],
        add: Callable[[int], None],
    ) -> None:
        self._start = start
        self._request = request
        self._add = add
        self._arrivals: deque[Arrival] = deque()
        self._has_arrivals = gevent.event.Event()
        self._now: Callable[[], float] = lambda: 0.0
        self._running = 0
        self._max_needed = 0
        self.waiting = 0
        self.added = 0
        self.open = True

    def schedule(self, arrivals: Iterable[Arrival], now: Callable[[], float]) -> None:
        """Serve these arrivals, in the order of their times. `now`: seconds since the load started."""
        self._now = now
        self._arrivals.extend(arrivals)
        self._has_arrivals.set()
        spawn_critical(self._provide_users)

    def close(self) -> None:
        """Start no more sessions."""
        self.open = False
        self._arrivals.clear()

    def run_session(self) -> None:
        """Run the next session, from before its arrival to its end. Called by each user, again and again.

        Raises SessionFailed.
        """
        self.waiting += 1
        try:
            while not self._arrivals:
                self._has_arrivals.wait()
                self._has_arrivals.clear()
            arrival = self._arrivals.popleft()
            if self._arrivals:
                self._has_arrivals.set()
        finally:
            self.waiting -= 1
        self._running += 1
        ended: Any = gevent.event.AsyncResult()
        try:
            self._start(arrival, ended.set)
            error = ended.get()
        finally:
            self._running -= 1
        if error is not None:
            raise SessionFailed(error)

    def _provide_users(self) -> None:
        while self.open and self._arrivals:
            now_s = self._now()
            due = urgent = 0
            for arrival in self._arrivals:
                if arrival.at_s > now_s + AHEAD_S:
                    break
                due += 1
                urgent += arrival.at_s <= now_s + URGENT_S
            needed = self._running + due
            if needed > self._max_needed:
                self._max_needed = needed
                self._request(needed)
            if urgent > self.waiting:
                self.added += urgent - self.waiting
                self._add(urgent - self.waiting)
            gevent.sleep(CHECK_S)


class ArrivalShape(LoadTestShape):  # type: ignore[misc]
    """As many users as the arrivals of the next seconds need. Locust spreads users evenly, so each process gets as many
    as the process that needs most. The number never falls: a user without a session costs a few kilobytes."""

    def __init__(self, processes: int) -> None:
        super().__init__()
        self._processes = processes
        self._users_each = MIN_USERS

    def require(self, users: int) -> None:
        """A process needs this many users."""
        self._users_each = max(self._users_each, users)

    def tick(self) -> tuple[int, float]:
        return self._processes * self._users_each, SPAWN_RATE


def session_user(slots: UserSlots | None) -> type[User]:
    """Locust's class of users, `USER` on master and workers. `slots` None: on a master, which runs no users."""

    class Session(User):  # type: ignore[misc]
        wait_time = constant(0)

        @task  # type: ignore[untyped-decorator]
        def session(self) -> None:
            assert slots is not None
            slots.run_session()

        def stop(self, force: bool = False) -> bool:
            # A session ends by itself, or because the harness cancels it; never because Locust rebalances users.
            if slots is not None and slots.open:
                return False
            return bool(super().stop(force))

    return Session


def make_environment(slots: UserSlots | None, shape: ArrivalShape | None, options: Any = None) -> Environment:
    """`options`: given to a worker so that Locust does not look for options of its own in the file system."""
    import locust

    return Environment(
        user_classes=[session_user(slots)],
        shape_class=shape,
        events=locust.events,
        stop_timeout=0.0,
        parsed_options=options,
    )
