"""Whether the operations on a register are linearizable: each takes effect at one moment between its begin and its end.

The search is that of Wing and Gong (Testing and verifying concurrent objects, 1993) with the memory of Lowe (Testing
for linearizability, 2017): operations are put in order one by one; a set of operations in order that leaves the
register with the same value is looked at once. Registers of different keys are independent (Herlihy and Wing, 1990).
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

MAX_STATES = 200_000
"""Sets of operations that are looked at; then it is undecided."""


@dataclass(frozen=True, slots=True)
class Operation:
    """A read that returned `value`, or a write of it. Times in seconds.

    `is_certain`: False for one whose answer never came. Such a write may take effect at any time after its begin, or
    never; such a read says nothing.
    """

    begin_s: float
    end_s: float
    is_read: bool
    value: Hashable
    is_certain: bool = True


def is_linearizable(
    operations: Sequence[Operation], initial: Hashable = None, max_states: int = MAX_STATES
) -> bool | None:
    """None where it is undecided: there are too many orders. `initial`: the value before any write."""
    kept = [one for one in operations if one.is_certain or not one.is_read]
    begins = [one.begin_s for one in kept]
    ends = [one.end_s if one.is_certain else math.inf for one in kept]
    order = sorted(range(len(kept)), key=lambda index: begins[index])
    needed = sum(1 << index for index, one in enumerate(kept) if one.is_certain)
    seen: set[tuple[int, Hashable]] = {(0, initial)}
    stack: list[tuple[int, Hashable]] = [(0, initial)]
    while stack:
        done, value = stack.pop()
        if done & needed == needed:
            return True
        # What must come next began before everything else that is left has ended.
        first_end_s = min(
            (ends[index] for index in range(len(kept)) if not done >> index & 1), default=math.inf
        )
        for index in order:
            if begins[index] > first_end_s:
                break
            one = kept[index]
            if done >> index & 1 or (one.is_read and one.value != value):
                continue
            state = (done | 1 << index, value if one.is_read else one.value)
            if state not in seen:
                if len(seen) >= max_states:
                    return None
                seen.add(state)
                stack.append(state)
    return False
