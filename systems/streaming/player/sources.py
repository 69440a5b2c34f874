"""Where the next segment comes from: the ranked list, and who is left alone for a while after failing.

Without failover there is only the first of the list, whatever happens (safeguard `player.failover`).
Pure: times are seconds of the run, handed in.
"""

from __future__ import annotations

from collections.abc import Sequence

EXCLUDED_S = 60.0
"""How long a source that failed is passed over (as in Shaka Player)."""


class Sources:
    """The ranked URLs of one session. `failovers` counts moves to another source because one failed."""

    def __init__(self, urls: Sequence[str], *, failover: bool) -> None:
        if not urls:
            raise ValueError("no source to play from")
        self._urls = list(urls)
        self._failover = failover
        self._excluded_until: dict[str, float] = {}
        self._current = self._urls[0]
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

    def failed(self, now_s: float) -> bool:
        """The source in use failed. Whether there is another to go on with at once."""
        if not self._failover:
            return False
        self._excluded_until[self._current] = now_s + EXCLUDED_S
        best = self._best(now_s)
        if best is None:
            # Every one failed lately: begin a new round with the best, after a pause.
            self._excluded_until.clear()
            self._move(self._urls[0])
            return False
        self._move(best)
        return True

    def _best(self, now_s: float) -> str | None:
        return next((url for url in self._urls if self._excluded_until.get(url, 0.0) <= now_s), None)

    def _move(self, url: str) -> None:
        if url != self._current:
            self._current = url
            self.failovers += 1
