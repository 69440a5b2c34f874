"""A line with a rate: one connection's own, or one that many share."""

from __future__ import annotations

from weakref import WeakValueDictionary


class Line:
    """What is sent on it occupies it, one piece after the other, in the order in which they were reserved.

    Who waits for its piece to be through before it reserves another takes turns with everybody else who does so:
    with pieces of about one size, all get the same share of the rate, and what one leaves goes to the others.
    """

    __slots__ = ("__weakref__", "free_at_s")

    def __init__(self) -> None:
        self.free_at_s = 0.0
        """When all that was reserved is through, on the server's clock."""

    def reserve(self, duration_s: float, not_before_s: float) -> float:
        """Occupy it for that long as soon as it is free; when the piece will be through."""
        self.free_at_s = max(self.free_at_s, not_before_s) + duration_s
        return self.free_at_s

    def give_back(self, duration_s: float, due_s: float) -> None:
        """A piece that was reserved until `due_s` is not sent after all; of use where it was the last."""
        if self.free_at_s == due_s:
            self.free_at_s -= duration_s


class Lines:
    """The lines that are shared, by name, as long as somebody holds them."""

    def __init__(self) -> None:
        self._lines: WeakValueDictionary[str, Line] = WeakValueDictionary()

    def named(self, name: str) -> Line:
        """The same line for the same name; an unnamed one is nobody else's."""
        if not name:
            return Line()
        line = self._lines.get(name)
        if line is None:
            line = self._lines[name] = Line()
        return line
