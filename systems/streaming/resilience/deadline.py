"""A moment by which a request must be answered, carried from hop to hop.

A caller that has given up must not leave work behind it: every outgoing call takes the smaller of its own
budget and what is left of the request's deadline, and passes the rest on in `X-Deadline-Ms`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from harness.system import Clock, Host

HEADER = "X-Deadline-Ms"


class DeadlineExceeded(Exception):
    """The answer would be too late, so that no work was done for it."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """`at_s` in seconds of the host's clock; `float("inf")` means none."""

    clock: Clock
    at_s: float

    @classmethod
    def after(cls, clock: Clock, budget_s: float) -> Deadline:
        return cls(clock, clock.now() + budget_s)

    @classmethod
    def never(cls, clock: Clock) -> Deadline:
        return cls(clock, float("inf"))

    @classmethod
    def from_headers(cls, clock: Clock, headers: Mapping[str, str], default_s: float) -> Deadline:
        """What the caller left us, at most `default_s`; a malformed header counts as absent."""
        try:
            budget_s = int(headers[HEADER]) / 1000
        except (KeyError, ValueError):
            budget_s = default_s
        return cls.after(clock, min(max(budget_s, 0.0), default_s))

    @property
    def remaining_s(self) -> float:
        """Never negative."""
        return max(0.0, self.at_s - self.clock.now())

    @property
    def expired(self) -> bool:
        return self.remaining_s <= 0.0

    def within(self, budget_s: float) -> Deadline:
        """The earlier of this deadline and `budget_s` from now."""
        return Deadline(self.clock, min(self.at_s, self.clock.now() + budget_s))

    def headers(self) -> dict[str, str]:
        """What to send to the next hop: whole milliseconds, rounded down so that it gives up first."""
        if self.at_s == float("inf"):
            return {}
        return {HEADER: str(int(self.remaining_s * 1000))}

    async def work(self, host: Host, seconds: float) -> None:
        """Use the host's processor for so long, if the answer can then still be in time.

        Raises DeadlineExceeded when no core is free soon enough: what nobody waits for is not begun.
        """
        within_s = None if self.at_s == float("inf") else self.at_s - self.clock.now() - seconds
        try:
            await host.work(seconds, start_within_s=within_s)
        except TimeoutError as error:
            raise DeadlineExceeded("the deadline of the request cannot be met") from error

    def enforce(self) -> asyncio.Timeout:
        """`async with deadline.enforce():` raises TimeoutError inside when the time has come."""
        return asyncio.timeout(None if self.at_s == float("inf") else self.remaining_s)
