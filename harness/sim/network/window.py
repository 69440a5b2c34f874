"""`Window`: the congestion window of one sender, in rounds of one round-trip time, never packet by packet.

Slow start (RFC 5681, section 3.1) from the initial window of RFC 6928; restart after idle as Linux does it
(`tcp_slow_start_after_idle`). What fits into the window goes at line rate; a longer transfer is bound to window /
round trip, and the window grows by what moved in a round. Once that bound reaches the line's rate, it is lifted: from
there on the network's fair share decides.
"""

from __future__ import annotations

import math

from harness.runtime.routes import MSS_BYTES

INITIAL_BYTES = 10 * MSS_BYTES
"""RFC 6928: ten segments."""

MAX_WINDOW_BYTES = 3 * 1024 * 1024
"""What may be under way to a process that reads: half of Linux's largest buffer (tcp_rmem: 6 MB), which grows as the
process reads."""

MIN_RTO_S = 0.2
"""Linux's least retransmission time-out beyond the round trip (RFC 6298 with Linux's minimum)."""


class Window:
    """Times in s, sizes in bytes. `moved`: what the sender has moved so far, of its whole life."""

    __slots__ = ("_limited", "_moved_before", "_round_s", "_since_s", "rtt_s", "size")

    def __init__(self) -> None:
        self.size: float = INITIAL_BYTES
        self.rtt_s = 0.0
        """Of the transfer under way, with the queues that it found."""
        self._round_s = -math.inf
        self._moved_before = 0.0
        """What had moved when the round began."""
        self._since_s = -math.inf
        """When something last moved."""
        self._limited = False

    def begin(self, now_s: float, rtt_s: float, moved: float, *, restarts: bool) -> None:
        """A transfer begins. `restarts`: whether silence makes the window small again."""
        self.rtt_s = rtt_s
        timeout_s = rtt_s + MIN_RTO_S
        silence_s = now_s - self._since_s
        if restarts and silence_s > timeout_s and self.size > INITIAL_BYTES:
            halvings = min(64, int(silence_s / timeout_s))
            self.size = max(INITIAL_BYTES, self.size / 2**halvings)
        if now_s - self._round_s >= rtt_s:
            self._round_s, self._moved_before = now_s, moved

    def bound_Bps(self, remaining: float, moved: float, line_Bps: float) -> float:
        """The rate that the window allows; infinite where it does not limit the rest of the transfer."""
        room = self.size - (moved - self._moved_before)
        self._limited = remaining > room and self.size < line_Bps * self.rtt_s
        return self.size / self.rtt_s if self._limited else math.inf

    @property
    def round_ends_s(self) -> float:
        """When the bound is to be decided again; infinite when it does not depend on the window."""
        return self._round_s + self.rtt_s if self._limited else math.inf

    def end_round(self, now_s: float, moved: float, cap: float) -> None:
        """A round is over: the window grows by what was acknowledged, up to `cap`."""
        self._grow(moved, cap)
        self._round_s, self._moved_before = now_s, moved

    def end(self, now_s: float, moved: float, cap: float) -> None:
        """The transfer is over, or interrupted."""
        self._since_s = now_s
        if now_s - self._round_s >= self.rtt_s:
            self.end_round(now_s, moved, cap)
        self._limited = False

    def collapse(self) -> None:
        """A time-out: begin anew."""
        self.size = INITIAL_BYTES

    def _grow(self, moved: float, cap: float) -> None:
        sent = moved - self._moved_before
        # Linux, is_cwnd_limited: a window of which less than half was used does not grow.
        if sent > self.size / 2 and self.size < cap:
            self.size = min(self.size + sent, cap)
