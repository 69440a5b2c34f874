"""One playback, sans I/O: what to fetch next, when it is time to wait, when the viewer is done or fed up.

The driver tells what happened and when (seconds of the run); the answers say what to do. The same buffer,
estimator and rules as in the offline player.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .abr import Careful, Fixed, Ladder, Progress, make_rule
from .buffer import Buffer
from .estimator import Estimator
from .heartbeats import Heartbeats

BUFFER_S = 16.0
"""The most that is kept ahead."""

STARTUP_PATIENCE_S = 20.0
"""A viewer who has not seen a first frame by then has left (most leave far earlier)."""

STALL_PATIENCE_S = 15.0
"""A stall of this length ends the session: for the viewer, playback has failed."""

UNDECIDED_S = 10.0
"""Who is asked to leave after waiting less than this has no verdict on the service; after longer, it failed
them (exits before the start count when they waited more than 10 s)."""

EXCLUDED_S = 60.0
"""How long a rendition that no source has is not asked for."""

EARLY_S = 0.001
"""By so much may a timer be early."""

ROUNDING_MS = 1e-6
"""Less than this is no stall."""

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
        self._capacity_s = max(BUFFER_S, 2 * segment_s)
        self._estimator = Estimator(segment_ms)
        self._rule = (
            Careful(
                make_rule(rule, ladder, self._estimator, self._capacity_s * 1000), ladder, self._estimator
            )
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
        self._instead: int | None = None
        self._renditions = len(bitrates_kbps)
        self._excluded_until: dict[int, float] = {}
        self.started_s: float | None = None
        """When the first frame was shown."""
        self.ends_at_s: float | None = None
        """When the viewer has seen enough; None as long as not all of it is in the buffer."""
        self.stalls: list[Stall] = []
        """Those that have ended."""
        self.heartbeats = Heartbeats(intent_s)

    # ------------------------------------------------------------------ what has happened

    def advance(self, now_s: float) -> None:
        """Let playing catch up with time."""
        while self.heartbeats.next_s <= now_s:
            self._play_until(self.heartbeats.next_s)
            self._cut_heartbeat(self.heartbeats.next_s)
        self._play_until(now_s)

    def _cut_heartbeat(self, at_s: float) -> None:
        self.heartbeats.cut(
            at_s,
            started=self.started_s is not None,
            stalled=self._stall_since_s is not None,
            played_s=self.played_s,
            stall_s=self.stall_s,
            stalls=self.stall_count,
        )

    def _play_until(self, now_s: float) -> None:
        if self.started_s is None:
            return
        if self.ends_at_s is not None and now_s > self.ends_at_s:
            now_s = self.ends_at_s
        elapsed_ms = (now_s - self._drained_s) * 1000
        if elapsed_ms <= 0:
            return
        level_ms = self._buffer.level_ms
        if self._stall_since_s is None and elapsed_ms > level_ms + ROUNDING_MS:
            self._stall_since_s = self._drained_s + level_ms / 1000
        self._buffer.drain(elapsed_ms)
        self._drained_s = now_s

    def arrived(self, now_s: float, quality: int, n_bytes: int, took_s: float, waited_s: float) -> None:
        """A segment is here: it took that long in all, of which so long until its first byte."""
        self.advance(now_s)
        body_ms = max((took_s - waited_s) * 1000, 1.0)
        self._estimator.add(body_ms, n_bytes * 8 / body_ms, waited_s * 1000)
        if self.started_s is None:
            self.started_s = self._drained_s = now_s
        self._end_stall(now_s)
        self._buffer.add(quality)
        self._next += 1
        left_ms = self._watch_s * 1000 - self._buffer.played_ms
        if self.ends_at_s is None and left_ms <= self._buffer.level_ms + ROUNDING_MS:
            self.ends_at_s = self._drained_s + left_ms / 1000

    def finish(self, now_s: float) -> None:
        """The session ends, whatever state it is in."""
        self.advance(now_s)
        self._cut_heartbeat(now_s)
        self._end_stall(now_s)

    def waiting_s(self, now_s: float) -> float:
        """For how long the viewer has been waiting for a frame; 0 while it plays."""
        self.advance(now_s)
        if self.started_s is None:
            return now_s - self._intent_s
        return 0.0 if self._stall_since_s is None else now_s - self._stall_since_s

    def _end_stall(self, now_s: float) -> None:
        if self._stall_since_s is not None:
            self.stalls.append(Stall(now_s, now_s - self._stall_since_s))
            self._stall_since_s = None

    # ------------------------------------------------------------------ what to do

    def next(self, now_s: float) -> Fetch | Pause | End:
        """The next step. Call it again after what it says has been done."""
        self.advance(now_s)
        end = self.ends_at_s
        if end is not None and (now_s >= end - EARLY_S or self._next >= self._segments):
            return End(end)
        over_s = self._buffer.level_ms / 1000 + self._segment_s - self._capacity_s
        if over_s > 1e-9:
            until = now_s + over_s
            return Pause(until) if end is None or until < end else End(end)
        if self._next == 0 and self._adapt:
            return Fetch(0, self._there(0, now_s))
        if self._instead is not None:
            quality, self._instead = self._instead, None
        else:
            quality = self._rule.choose(self._next, self._segments, self._buffer.level_ms)
        return Fetch(self._next, self._there(quality, now_s))

    def exclude(self, now_s: float, quality: int) -> None:
        """No source has this rendition: do without it for a while. Where none is left, all are tried again."""
        self._excluded_until[quality] = now_s + EXCLUDED_S
        if len(self._excluded_until) == self._renditions:
            self._excluded_until.clear()

    def _there(self, quality: int, now_s: float) -> int:
        """The rendition, or the nearest one that is not excluded: a lower one where there is any."""
        if not self._excluded_until:
            return quality
        self._excluded_until = {one: end_s for one, end_s in self._excluded_until.items() if end_s > now_s}
        order = (*range(quality, -1, -1), *range(quality + 1, self._renditions))
        return next((one for one in order if one not in self._excluded_until), quality)

    def again(self, now_s: float, fetch: Fetch) -> Fetch:
        """The same segment after a failure: in a lower rendition for the buffer, in another one for an excluded one."""
        step = self.next(now_s)
        if isinstance(step, Fetch) and (
            step.quality < fetch.quality or fetch.quality in self._excluded_until
        ):
            return step
        return fetch

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
        # Unlike the SABRE simulator the rendition for which the
        # download is given up is the one fetched next, and what was seen of the network counts.
        self._instead = instead
        body_ms = max((took_s - waited_s) * 1000, 1.0)
        self._estimator.add(body_ms, done_bytes * 8 / body_ms, waited_s * 1000)
        return True

    def waits_until_s(self, now_s: float) -> float:
        """How long the viewer stays if nothing arrives any more: to the end, if all of it is in the buffer."""
        self.advance(now_s)
        if self.started_s is None:
            return self._intent_s + STARTUP_PATIENCE_S
        if self._stall_since_s is not None:
            return self._stall_since_s + STALL_PATIENCE_S
        if self.ends_at_s is not None:
            return self.ends_at_s
        return self._drained_s + self.buffer_s + STALL_PATIENCE_S

    def when_asked_to_leave(self, now_s: float) -> tuple[Outcome, str | None]:
        """What became of a session that did not end by itself, and why that is a failure if it is one."""
        self.advance(now_s)
        if self.started_s is None:
            return not_started(now_s - self._intent_s)
        stalled_s = now_s - self._stall_since_s if self._stall_since_s is not None else 0.0
        if stalled_s >= UNDECIDED_S:
            return "playback_failure", f"stalled for {stalled_s:.1f} s when asked to leave"
        return "left", None

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
        return len(self.stalls) + (self._stall_since_s is not None)

    @property
    def switches(self) -> int:
        return self._buffer.switches

    @property
    def bitrate_kbps(self) -> float:
        """Mean over the segments that began to play; 0 before the first."""
        played = self._buffer.segments_played
        return self._buffer.sum_kbps / played if played else 0.0


def not_started(waited_s: float) -> tuple[Outcome, str]:
    """What became of a session that was asked to leave before its first frame."""
    reason = f"asked to leave after {waited_s:.1f} s without a first frame"
    return ("start_failure" if waited_s >= UNDECIDED_S else "exit_before_start"), reason
