"""One playback, sans I/O: what to fetch next, when it is time to wait, when the viewer is done or fed up.

The driver tells what happened and when (seconds of the run); the answers say what to do. The same buffer,
estimator and rules as in the offline player.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from systems.streaming.player.abr import Careful, Fixed, Ladder, Progress, make_rule
from systems.streaming.player.buffer import Buffer
from systems.streaming.player.estimator import Estimator

BUFFER_S = 16.0
"""The most that is kept ahead."""

STARTUP_PATIENCE_S = 20.0
"""A viewer who has not seen a first frame by then has left (most leave far earlier; section 5)."""

STALL_PATIENCE_S = 15.0
"""A stall of this length ends the session: for the viewer, playback has failed."""

FIXED_QUALITY = 6
"""The rendition (2,350 kbit/s) of a player that does not adapt."""

type Outcome = Literal["completed", "left", "start_failure", "exit_before_start", "playback_failure"]


@dataclass(frozen=True, slots=True)
class Stall:
    """A stall that has ended. Seconds of the run, and how long it was."""

    ended_at_s: float
    lasted_s: float


@dataclass(frozen=True, slots=True)
class Fetch:
    segment: int
    quality: int


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing to fetch before this time."""

    until_s: float


@dataclass(frozen=True, slots=True)
class End:
    """The viewer has seen what they wanted, or the title's end is played at this time."""

    at_s: float


class Playback:
    """Times in seconds of the run; `watch_s` is how much the viewer wants to see."""

    def __init__(
        self,
        *,
        segment_s: float,
        segments: int,
        bitrates_kbps: tuple[float, ...],
        watch_s: float,
        rule: str,
        adapt: bool,
        intent_s: float,
    ) -> None:
        segment_ms = segment_s * 1000
        ladder = Ladder(segment_ms, bitrates_kbps)
        self._estimator = Estimator(segment_ms)
        self._rule = (
            Careful(make_rule(rule, ladder, self._estimator, BUFFER_S * 1000), ladder, self._estimator)
            if adapt
            else Fixed(min(FIXED_QUALITY, len(bitrates_kbps) - 1))
        )
        self._adapt = adapt
        self._buffer = Buffer(segment_ms, bitrates_kbps)
        self._segment_s = segment_s
        self._segments = segments
        self._watch_s = min(watch_s, segments * segment_s)
        self._intent_s = intent_s
        self._drained_s = intent_s
        self._next = 0
        self._stall_since_s: float | None = None
        self._asked = False
        self._instead: int | None = None
        self.started_s: float | None = None
        """When the first frame was shown."""
        self.stalls: list[Stall] = []

    # ------------------------------------------------------------------ what has happened

    def advance(self, now_s: float) -> None:
        """Let playing catch up with time."""
        if self.started_s is None:
            return
        elapsed_ms = (now_s - self._drained_s) * 1000
        if elapsed_ms <= 0:
            return
        level_s = self._buffer.level_ms / 1000
        if self._stall_since_s is None and elapsed_ms > level_s * 1000 + 1e-6:
            self._stall_since_s = self._drained_s + level_s
        self._buffer.drain(elapsed_ms)
        self._drained_s = now_s

    def arrived(self, now_s: float, quality: int, n_bytes: int, took_s: float, waited_s: float) -> None:
        """A segment is here: it took that long in all, of which so long until its first byte."""
        self.advance(now_s)
        body_ms = max((took_s - waited_s) * 1000, 1.0)
        self._estimator.add(body_ms, n_bytes * 8 / body_ms, waited_s * 1000)
        if self.started_s is None:
            self.started_s = self._drained_s = now_s
        if self._stall_since_s is not None:
            self.stalls.append(Stall(now_s, now_s - self._stall_since_s))
            self._stall_since_s = None
        self._buffer.add(quality)
        self._next += 1
        self._asked = False

    # ------------------------------------------------------------------ what to do

    def next(self, now_s: float) -> Fetch | Pause | End:
        """The next step. Call it again after what it says has been done."""
        self.advance(now_s)
        end = self.ends_at_s
        if end is not None and (now_s >= end - 1e-9 or self._next >= self._segments):
            return End(end)
        over_s = self._buffer.level_ms / 1000 + self._segment_s - BUFFER_S
        if over_s > 1e-9:
            until = now_s + over_s
            return Pause(until) if end is None or until < end else End(end)
        if self._next == 0:
            return Fetch(0, 0 if self._adapt else self._rule.choose(0, self._segments, 0.0).quality)
        if self._instead is not None:
            instead, self._instead = self._instead, None
            return Fetch(self._next, instead)
        choice = self._rule.choose(self._next, self._segments, self._buffer.level_ms)
        if choice.pause_ms > 0 and not self._asked:
            self._asked = True
            return Pause(now_s + choice.pause_ms / 1000)
        return Fetch(self._next, choice.quality)

    def give_up(
        self, now_s: float, fetch: Fetch, size_bytes: int, done_bytes: int, took_s: float, waited_s: float
    ) -> bool:
        """Whether to abandon the download for another rendition."""
        if self.started_s is None:
            return False
        self.advance(now_s)
        progress = Progress(fetch.quality, size_bytes * 8, done_bytes * 8, took_s * 1000, waited_s * 1000)
        instead = self._rule.give_up(progress, self._buffer.level_ms)
        if instead is None:
            return False
        # Unlike the published simulator (facts/streaming.md section 6, point 10) the rendition for which the
        # download is given up is the one fetched next, and what was seen of the network counts.
        self._instead = instead
        body_ms = max((took_s - waited_s) * 1000, 1.0)
        self._estimator.add(body_ms, done_bytes * 8 / body_ms, waited_s * 1000)
        return True

    @property
    def ends_at_s(self) -> float | None:
        """When the viewer has seen enough, if it is all in the buffer; None as long as it is not."""
        if self.started_s is None or self._stall_since_s is not None:
            return None
        left_s = self._watch_s - self._buffer.played_ms / 1000
        return self._drained_s + left_s if left_s <= self._buffer.level_ms / 1000 + 1e-9 else None

    def patience_s(self, now_s: float) -> float:
        """How much longer the viewer bears it if nothing arrives any more."""
        self.advance(now_s)
        if self.started_s is None:
            return self._intent_s + STARTUP_PATIENCE_S - now_s
        if self._stall_since_s is not None:
            return self._stall_since_s + STALL_PATIENCE_S - now_s
        return self._buffer.level_ms / 1000 + STALL_PATIENCE_S

    # ------------------------------------------------------------------ the account

    @property
    def buffer_s(self) -> float:
        return self._buffer.level_ms / 1000

    @property
    def segments_fetched(self) -> int:
        return self._next

    @property
    def played_s(self) -> float:
        return self._buffer.played_ms / 1000

    @property
    def stall_s(self) -> float:
        return self._buffer.stall_ms / 1000

    @property
    def stall_count(self) -> int:
        return self._buffer.stalls

    @property
    def switches(self) -> int:
        return self._buffer.switches

    @property
    def bitrate_kbps(self) -> float:
        """Mean over the segments that began to play; 0 before the first."""
        played = self._buffer.segments_played
        return self._buffer.sum_kbps / played if played else 0.0
