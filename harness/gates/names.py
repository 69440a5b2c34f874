"""The names of an experiment's gates: their own, or their labels; no two alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import zip_longest

from harness.gates.base import Gate


def gate_names(gates: Sequence[Gate]) -> tuple[str, ...]:
    """A name for each gate. Those of the same label get their distinctions appended, or a number."""
    names = [gate.label if gate.name is None else gate.name for gate in gates]
    for texts in zip_longest(*(gate.distinctions for gate in gates), fillvalue=""):
        counts = Counter(names)
        names = [name + text if counts[name] > 1 else name for name, text in zip(names, texts, strict=True)]
    counts, seen = Counter(names), Counter[str]()
    for index, name in enumerate(names):
        if counts[name] > 1:
            seen[name] += 1
            names[index] = f"{name} #{seen[name]}"
    return tuple(names)
