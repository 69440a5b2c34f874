"""Where the next segment comes from: the ranked list, and who is left alone for a while after failing.

Without failover there is only the first of the list, whatever happens (safeguard `player.failover`).
Pure: times are seconds of the run, handed in.
"""

from __future__ import annotations

from collections.abc import Sequence

EXCLUDED_S = 60.0
"""How long a source that failed is passed over (as in Shaka Player)."""

CONNECT_EXCLUDED_S = 3.0
"""How long one to which a connection was not made in time is, the first time: the packet that opens it may have been
lost, and is sent again only after a second (RFC 6298)."""

FASTER = 1.5
"""Another source has to be so much faster, or the network is slow, not the source."""


class Sources:
    """The ranked URLs of one session. `failovers` counts moves to another source because one failed."""

    def __init__(self, urls: Sequence[str], *, failover: bool) -> None:
        if not urls:
            raise ValueError("no source to play from")
        self._urls = list(urls)
        self._failover = failover
        self._excluded_until: dict[str, float] = {}
        self._current = self._urls[0]
        self._not_reached_s: dict[str, float] = {}
        self._left_kbps: float | None = None
        """The throughput of the source that was left because it was slow, until another one is measured."""
        self._slow_until_s = 0.0
        """Until then the network is taken for slow, not a source."""
        self.failovers = 0

    @property
    def urls(self) -> tuple[str, ...]:
        return tuple(self._urls)

    @property
    def current(self) -> str:
        """The source in use."""
        return self._current

    def rank(self, urls: Sequence[str], now_s: float) -> None:
        """A new list from steering: go on with its best that is not excluded. An empty list changes nothing."""
        if urls:
            self._urls = list(urls)
            if self._failover or self._current not in self._urls:
                self._current = self._best(now_s) or self._urls[0]

    def failed(self, now_s: float, *, not_reached: bool = False) -> bool:
        """The source in use failed, or (`not_reached`) no connection to it was made in time.

        Whether there is another to go on with at once.
        """
        if not self._failover:
            return False
        excluded_s = EXCLUDED_S
        if not_reached:
            before_s = self._not_reached_s.get(self._current, -EXCLUDED_S)
            self._not_reached_s[self._current] = now_s
            excluded_s = CONNECT_EXCLUDED_S if now_s - before_s >= EXCLUDED_S else EXCLUDED_S
        self._excluded_until[self._current] = now_s + excluded_s
        best = self._best(now_s)
        if best is None:
            # Every one failed lately: begin a new round with the best, after a pause.
            self._excluded_until.clear()
            self._move(self._urls[0])
            return False
        self._move(best)
        return True

    def forgive(self, urls: Sequence[str]) -> None:
        """These are not to blame for what has failed: they may be used again."""
        for url in urls:
            self._excluded_until.pop(url, None)

    def can_leave(self, now_s: float) -> bool:
        """Whether a source that is slow may be left for another one."""
        others = [url for url in self._urls if url != self._current]
        return (
            self._failover
            and self._left_kbps is None
            and now_s >= self._slow_until_s
            and any(self._excluded_until.get(url, 0.0) <= now_s for url in others)
        )

    def measured(self, now_s: float, kbps: float, *, slow: bool) -> bool:
        """What the source in use has delivered; `slow`: less than is played. Whether it is left for another one.

        When the next one is not faster, the network is slow: then no source is left for a while.
        """
        left_kbps, self._left_kbps = self._left_kbps, None
        if left_kbps is not None and kbps < FASTER * left_kbps:
            self._slow_until_s = now_s + EXCLUDED_S
        if not slow or not self.can_leave(now_s):
            return False
        self._excluded_until[self._current] = now_s + EXCLUDED_S
        best = self._best(now_s)
        assert best is not None
        self._left_kbps = kbps
        self._move(best)
        return True

    def _best(self, now_s: float) -> str | None:
        return next((url for url in self._urls if self._excluded_until.get(url, 0.0) <= now_s), None)

    def _move(self, url: str) -> None:
        if url != self._current:
            self._current = url
            self.failovers += 1
