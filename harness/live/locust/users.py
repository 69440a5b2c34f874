"""Locust's users: each sees one session after the other from its arrival to its end.

The schedule of arrivals never waits for the system. Users stand by ahead of time (Locust spawns them by a shape that
follows from the arrivals), each with the next arrival in hand; the session begins at its intended time whatever the
others do. Should Locust's shape come too late (its clock ticks once a second), users are added beside it, and counted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import gevent
import gevent.event
from locust import LoadTestShape, User, constant, task
from locust.env import Environment

from harness.live.locust.bridge import vital
from harness.workload.schedule import Arrival

STAND_BY = 20
"""Users of each process that stand by before the first arrival is known: for the first second of a common load."""

AHEAD_S = 4.0
"""Locust is asked for users so long before they are needed: its shape ticks once a second, and a master may take a
second more."""

LAST_S = 0.5
"""An arrival that no user holds so long before its time gets one beside the shape."""

LOOK_EVERY_S = 0.1

SPAWN_RATE = 100.0
"""Users a second that Locust may spawn; above, it warns."""

USER = "Session"
"""The name of Locust's class of users."""

type Ended = Callable[[str | None], None]
"""Called in gevent's thread at the end of a session, with what its code raised."""


class ClientFailed(Exception):
    """The code of a client raised; Locust counts it among its exceptions."""


class Seats:
    """The users of one process and the arrivals that it sees to.

    `begin(arrival, ended)` starts a session, now or at its intended time if that is still to come; `need(users)` is
    told when more users are needed than ever before; `add(users)` spawns some at once. All in gevent's thread.
    """

    def __init__(
        self,
        begin: Callable[[Arrival, Ended], None],
        need: Callable[[int], None],
        add: Callable[[int], None],
    ) -> None:
        self._begin = begin
        self._need = need
        self._add = add
        self._arrivals: deque[Arrival] = deque()
        self._some = gevent.event.Event()
        self._now: Callable[[], float] = lambda: 0.0
        self._running = 0
        self._most = 0
        self.standing = 0
        self.added = 0
        self.open = True

    def arrive(self, arrivals: Iterable[Arrival], now: Callable[[], float]) -> None:
        """The arrivals, in the order of their times. `now`: seconds since the load began."""
        self._now = now
        self._arrivals.extend(arrivals)
        self._some.set()
        vital(self._look)

    def close(self) -> None:
        """Nobody comes any more."""
        self.open = False
        self._arrivals.clear()

    def sit(self) -> None:
        """The life of a user: the next session, from before its arrival to its end."""
        self.standing += 1
        try:
            while not self._arrivals:
                self._some.wait()
                self._some.clear()
            arrival = self._arrivals.popleft()
            if self._arrivals:
                self._some.set()
        finally:
            self.standing -= 1
        self._running += 1
        over: Any = gevent.event.AsyncResult()
        try:
            self._begin(arrival, over.set)
            error = over.get()
        finally:
            self._running -= 1
        if error is not None:
            raise ClientFailed(error)

    def _look(self) -> None:
        while self.open and self._arrivals:
            now_s = self._now()
            due = urgent = 0
            for arrival in self._arrivals:
                if arrival.at_s > now_s + AHEAD_S:
                    break
                due += 1
                urgent += arrival.at_s <= now_s + LAST_S
            needed = self._running + due
            if needed > self._most:
                self._most = needed
                self._need(needed)
            if urgent > self.standing:
                self.added += urgent - self.standing
                self._add(urgent - self.standing)
            gevent.sleep(LOOK_EVERY_S)


class ByArrivals(LoadTestShape):  # type: ignore[misc]
    """As many users as the arrivals of the next seconds need, on every process as many as on the neediest: Locust
    deals them out evenly. The number never falls: a user without a session costs a few kilobytes."""

    def __init__(self, processes: int) -> None:
        super().__init__()
        self._processes = processes
        self._each = STAND_BY

    def needs(self, users: int) -> None:
        """A process needs so many."""
        self._each = max(self._each, users)

    def tick(self) -> tuple[int, float]:
        return self._processes * self._each, SPAWN_RATE


def session_user(seats: Seats | None) -> type[User]:
    """Locust's class of users, `USER` on master and workers. `seats` None: on a master, which has none itself."""

    class Session(User):  # type: ignore[misc]
        wait_time = constant(0)

        @task  # type: ignore[untyped-decorator]
        def session(self) -> None:
            assert seats is not None
            seats.sit()

        def stop(self, force: bool = False) -> bool:
            # A session ends by itself, or because the harness asks it to; never because Locust counts again.
            if seats is not None and seats.open:
                return False
            return bool(super().stop(force))

    return Session


def make_environment(seats: Seats | None, shape: ByArrivals | None, options: Any = None) -> Environment:
    """`options`: what a worker needs so that it does not look for options of its own in the file system."""
    import locust

    return Environment(
        user_classes=[session_user(seats)],
        shape_class=shape,
        events=locust.events,
        stop_timeout=0.0,
        parsed_options=options,
    )
