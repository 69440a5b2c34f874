"""`SendQueue`: what a process has written and its kernel has not sent yet."""

from __future__ import annotations

from collections import deque


class SendQueue:
    """Pieces by reference, as they were written. Cutting a piece copies it, so whole pieces are preferred."""

    __slots__ = ("_pieces", "_taken", "n_bytes")

    def __init__(self) -> None:
        self._pieces: deque[bytes] = deque()
        self._taken = 0  # how much of the first piece is gone already
        self.n_bytes = 0

    def append(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self.n_bytes += len(piece)

    def first_bytes(self) -> int:
        """What is left of the first piece. IndexError when the queue is empty."""
        return len(self._pieces[0]) - self._taken

    def whole_bytes(self, n: int) -> int:
        """The largest number of bytes, at most n, that ends with a piece; n when the first piece is longer."""
        whole = -self._taken
        for piece in self._pieces:
            if whole + len(piece) > n:
                break
            whole += len(piece)
        return whole if whole > 0 else n

    def take(self, n: int) -> list[bytes]:
        """Remove the first n bytes. There must be as many."""
        queue = self._pieces
        self.n_bytes -= n
        pieces: list[bytes] = []
        while n:
            first, taken = queue[0], self._taken
            left = len(first) - taken
            if left <= n:
                queue.popleft()
                self._taken = 0
                pieces.append(first[taken:] if taken else first)
                n -= left
            else:
                pieces.append(first[taken : taken + n])
                self._taken = taken + n
                n = 0
        return pieces

    def trim(self, keep: int) -> None:
        """Drop what is behind the first `keep` bytes."""
        queue = self._pieces
        while self.n_bytes > keep:
            last = queue.pop()
            taken = 0 if queue else self._taken
            over = self.n_bytes - keep
            if len(last) - taken > over:
                queue.append(last[: len(last) - over])
                self.n_bytes -= over
            else:
                self.n_bytes -= len(last) - taken

    def clear(self) -> None:
        self._pieces.clear()
        self.n_bytes = 0
