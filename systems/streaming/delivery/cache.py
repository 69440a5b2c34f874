"""What an appliance has on its disks: the titles it was filled with, and what it fetched lately.

Popular titles are pushed to appliances ahead of time and stay; what else is
asked for is fetched once and kept, least recently used leaving first. Only sizes are kept: bodies are a
function of them.
"""

from __future__ import annotations

from collections import OrderedDict

from .segments import Key


class SegmentCache:
    def __init__(self, filled: frozenset[str], capacity_bytes: int) -> None:
        self.filled = filled
        self._capacity_bytes = capacity_bytes
        self._kept: OrderedDict[Key, int] = OrderedDict()
        self._kept_bytes = 0

    @property
    def kept_bytes(self) -> int:
        return self._kept_bytes

    def has(self, key: Key) -> bool:
        """Whether the segment is here; a kept one counts as used now."""
        if key[0] in self.filled:
            return True
        if key not in self._kept:
            return False
        self._kept.move_to_end(key)
        return True

    def keep(self, key: Key, n_bytes: int) -> None:
        """Remember a fetched segment; one larger than the whole capacity is not kept."""
        if n_bytes > self._capacity_bytes or self.has(key):
            return
        self._kept[key] = n_bytes
        self._kept_bytes += n_bytes
        while self._kept_bytes > self._capacity_bytes:
            _, freed = self._kept.popitem(last=False)
            self._kept_bytes -= freed
