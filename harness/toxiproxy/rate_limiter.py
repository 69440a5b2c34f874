"""Rate limits: one connection's own, or one that many share."""

from __future__ import annotations

from weakref import WeakValueDictionary


class RateLimiter:
    """Pieces occupy it one after the other, in the order in which they were reserved.

    Senders that wait until a piece is sent before they reserve another take turns: with pieces of about one size,
    all get the same share of the rate, and what one leaves goes to the others.
    """

    __slots__ = ("__weakref__", "free_at_s")

    def __init__(self) -> None:
        self.free_at_s = 0.0
        """When the last reserved piece is sent, on the server's clock."""

    def reserve(self, duration_s: float, not_before_s: float) -> float:
        """Occupy it for that long as soon as it is free. Returns when the piece is due."""
        self.free_at_s = max(self.free_at_s, not_before_s) + duration_s
        return self.free_at_s

    def cancel(self, duration_s: float, due_s: float) -> None:
        """Release a reservation until `due_s` that is not used; has an effect where it was the last."""
        if self.free_at_s == due_s:
            self.free_at_s -= duration_s


class RateLimiters:
    """The shared rate limiters by name, as long as a stage uses them."""

    def __init__(self) -> None:
        self._rate_limiters: WeakValueDictionary[str, RateLimiter] = WeakValueDictionary()

    def named(self, name: str) -> RateLimiter:
        """The same limiter for the same name; without a name, a new one."""
        if not name:
            return RateLimiter()
        limiter = self._rate_limiters.get(name)
        if limiter is None:
            limiter = self._rate_limiters[name] = RateLimiter()
        return limiter
