"""What a fault has done to traffic: `Exposure`, and the counter that makes one.

Effect counts, not presence. What nobody can notice is no effect: a delay below `MIN_NOTICEABLE_S` or below the jitter
that the path has anyway, a limit that slows nothing down by a tenth. Where two faults do the same to the same traffic,
the one that was applied first gets the credit.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from enum import IntEnum
from typing import Self

MIN_NOTICEABLE_S = 0.001
"""A shorter delay is not noticeable."""

MIN_SLOWDOWN = 1.1
"""A limit has an effect on a transfer that it makes take at least this many times as long."""


class Cause(IntEnum):
    """Who caused traffic. A larger one prevails."""

    BACKGROUND = 0
    """A service by itself: health checks, and all that nodes do which serve no client."""
    UNATTRIBUTED = 1
    """A service by itself, perhaps for its clients: refreshing a cache, working off a queue."""
    CLIENT = 2


@dataclass(frozen=True, slots=True)
class Effects:
    """Counts of one kind of traffic. All zero: no noticeable effect.

    `connections`: those on which anything happened; of these `delayed`: something arrived later, `lost`: something was
    lost, or held back until it was sent again, `limited`: a transfer was slowed down, `resets`: they were broken.
    `connects_blocked`: connection attempts refused or left unanswered. `requests`: HTTP requests, disk operations,
    look-ups of names and readings of the clock that the fault delayed or answered. `bytes`: payload that was delayed,
    lost, held or limited. `throttled_ms`: processor time that was wanted and waited for.
    """

    connections: int = 0
    delayed: int = 0
    lost: int = 0
    limited: int = 0
    resets: int = 0
    connects_blocked: int = 0
    requests: int = 0
    bytes: int = 0
    throttled_ms: int = 0

    @property
    def any(self) -> bool:
        return self != type(self)()

    def __add__(self, other: Self) -> Self:
        return type(self)(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


@dataclass(frozen=True, slots=True)
class Exposure(Effects):
    """The effects of one fault on traffic that clients caused; `touched` is whether there are any.

    `unattributed`: the effects on what services do by themselves, perhaps for clients: they count.
    `background`: the effects on health checks, and on what nodes do that serve no client: they do not count.
    """

    background: Effects = Effects()
    unattributed: Effects = Effects()

    @property
    def touched(self) -> bool:
        return self.counted.any

    @property
    def counted(self) -> Effects:
        """Those on traffic that clients caused, or may have caused."""
        own = Effects(*(getattr(self, f.name) for f in fields(Effects)))
        return own + self.unattributed


class ExposureCounter:
    """Counts the effects of one fault, by the cause of the traffic."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts = tuple(_Counts() for _ in Cause)

    def delay(self, connection: int, n_bytes: int, cause: Cause) -> None:
        self._counts[cause].add("delayed", connection, n_bytes)

    def lose(self, connection: int, n_bytes: int, cause: Cause) -> None:
        self._counts[cause].add("lost", connection, n_bytes)

    def limit(self, connection: int, n_bytes: int, cause: Cause) -> None:
        self._counts[cause].add("limited", connection, n_bytes)

    def reset(self, connection: int, cause: Cause) -> None:
        self._counts[cause].add("resets", connection, 0)

    def block(self, cause: Cause) -> None:
        """A connection attempt is refused, or gets no answer."""
        self._counts[cause].blocked += 1

    def request(self, cause: Cause) -> None:
        self._counts[cause].requests += 1

    def exposure(self) -> Exposure:
        background, unattributed = (self._counts[cause].effects(Effects) for cause in (0, 1))
        clients = self._counts[Cause.CLIENT].effects(Exposure)
        return replace(clients, background=background, unattributed=unattributed)


class _Counts:
    __slots__ = ("blocked", "connections", "n_bytes", "requests")

    def __init__(self) -> None:
        self.connections: dict[str, set[int]] = {
            "delayed": set(),
            "lost": set(),
            "limited": set(),
            "resets": set(),
        }
        self.blocked = self.requests = self.n_bytes = 0

    def add(self, effect: str, connection: int, n_bytes: int) -> None:
        self.connections[effect].add(connection)
        self.n_bytes += n_bytes

    def effects[E: Effects](self, kind: type[E]) -> E:
        return kind(
            connections=len(set().union(*self.connections.values())),
            **{effect: len(found) for effect, found in self.connections.items()},
            connects_blocked=self.blocked,
            requests=self.requests,
            bytes=self.n_bytes,
        )
