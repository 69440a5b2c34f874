"""What can be understood of an entry that is partly wrong, so that its other mistakes need not wait.

What is wrong is taken out, or replaced by a stand-in where it is needed; where that was is told, so that nothing
is said about it that its writer did not write.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from harness.diagnostics import Path
from harness.experiment.error_translation import Complaint, checked

STAND_INS: tuple[Any, ...] = (
    "stand-in",
    "1s",
    "1Mbps",
    "1KB",
    "1%",
    "1/s",
    1,
    1.5,
    True,
    {},
    [],
    ["stand-in"],
)
"""One of these fits into any field that a person fills in."""

_MOST = 40
"""More mistakes than that in one entry: it is something else, and nothing is to be learnt from it."""


@dataclass(frozen=True, slots=True)
class Salvaged[M: BaseModel]:
    """`stood`: the paths in the entry that were taken out or stood in for.

    `late`: mistakes that are seen only when those are out of the way, such as of one key against another.
    """

    model: M | None
    stood: frozenset[Path]
    late: tuple[Complaint, ...] = ()


def salvage[M: BaseModel](
    value: dict[str, Any],
    model: type[M],
    needed: Mapping[str, Any] | None = None,
    apart: Collection[str] = (),
) -> Salvaged[M]:
    """The model of what is right. `needed`: stand-ins for keys that are asked for only together with others.

    `apart`: keys that have no part in what one key may be against another.
    """
    entry = copy.deepcopy(value)
    stood: set[Path] = set()
    late: list[Complaint] = []
    for _ in range(_MOST):
        built, complaints = checked(entry, model)
        if built is not None:
            return Salvaged(built, frozenset(stood), tuple(late))
        if len(complaints) > _MOST:
            break
        # Of one key against another nothing can be said where one of them is not known.
        if stood and all(one[0] in apart for one in stood):
            late += [one for one in complaints if one.kind == "value_error" and not under(stood, one.path)]
        if not all(_remove(entry, found, model, stood, needed or {}) for found in complaints):
            break
    return Salvaged(None, frozenset(stood), tuple(late))


def under(paths: frozenset[Path] | set[Path], path: Path) -> bool:
    """Whether a path is one of these, or leads into one of them."""
    return any(path[: len(one)] == one for one in paths)


def _place(complaint: Complaint) -> Path:
    return (*complaint.path, complaint.key) if complaint.kind == "missing" else complaint.path


def _remove(
    entry: dict[str, Any],
    complaint: Complaint,
    model: type[BaseModel],
    stood: set[Path],
    needed: Mapping[str, Any],
) -> bool:
    """Take out what is complained of. False when that cannot be done."""
    path = _place(complaint)
    if not path:
        return False
    holder: Any = entry
    for step in path[:-1]:
        try:
            holder = holder[step]
        except (KeyError, IndexError, TypeError):
            return True  # it went with what was around it
    last = path[-1]
    again = path in stood
    stood.add(path)
    if len(path) == 1 and last in needed and not again:
        holder[last] = needed[str(last)]
        return True
    if complaint.kind != "missing" and isinstance(holder, dict) and not again:
        del holder[last]
        return True
    if isinstance(holder, dict) and complaint.kind == "extra_forbidden":
        return False
    for stand_in in STAND_INS:
        holder[last] = stand_in
        if not any(under({path}, _place(found)) for found in checked(entry, model)[1]):
            return True
    return False
