"""What the processors did while a latency was judged: a good one says little without the load that it was good at."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from harness.errors import HarnessError
from harness.gates.base import Gate
from harness.history.read import History
from harness.sli.base import Slo
from harness.sli.formatting import quantity, ratio
from harness.sli.percentile import PercentileSlo
from harness.sli.ratio import RatioSlo
from harness.system.processor import PROCESSORS

IDLE = 0.1
"""A role whose busiest second is at most this is named without its figures."""

_SECONDS = re.compile(r"\b\w+_s\b")
"""A column in seconds: a name that ends in `_s`."""


def utilisation_note(gates: Sequence[Gate], slos: Mapping[str, Slo], history: History) -> Iterator[str]:
    """One note with the utilisation of each role, where a gate is about a time and the history has processors."""
    if PROCESSORS not in history.tables or not any(_is_about_time(gate, slos) for gate in gates):
        return
    rows = history.query(
        "SELECT role, sum(utilisation * cores) / sum(cores), max(utilisation), max(queue_max), max(waited_max_s) "
        f"FROM {PROCESSORS} GROUP BY role ORDER BY max(utilisation) DESC, role"
    )
    busy = [
        f"{role} {ratio(float(mean), 0)}, {ratio(float(busiest), 0)} in a node's busiest second"
        + (f" ({queue} waiting, up to {quantity(float(waited_s), 's')})" if queue else "")
        for role, mean, busiest, queue, waited_s in rows
        if busiest > IDLE
    ]
    if idle := [role for role, _, busiest, _, _ in rows if busiest <= IDLE]:
        busy.append(f"never above {ratio(IDLE, 0)}: {', '.join(idle)}")
    if busy:
        yield f"utilisation of processors: {'; '.join(busy)}"


def _is_about_time(gate: Gate, slos: Mapping[str, Slo]) -> bool:
    try:
        objective = gate.objective(slos)
    except HarnessError:
        return False
    match objective.slo if objective is not None else None:
        case PercentileSlo(value=value):
            return _SECONDS.search(value) is not None
        case RatioSlo(good=good, bad=bad):
            return _SECONDS.search(good or bad or "") is not None
        case _:
            return False
