"""The model of an entry that is partly wrong, so that its other mistakes are found in the same round.

What is wrong is left out, or replaced by a placeholder where the model needs a value. The paths of those are
suspect: nothing may be reported about a value that its writer did not write.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from harness.diagnostics import Diagnostic, Path
from harness.experiment.error_translation import FieldError, validate_model

PLACEHOLDERS: tuple[Any, ...] = (
    *("placeholder", "1s", "1Mbps", "1KB", "1%", "1/s", 1, 1.5, True, {}, [], ["placeholder"]),
)
"""For every kind of field one of these is valid."""

MAX_ERRORS = 40
"""With more errors than that in an entry, or errors of errors, no model is made of it."""


class SuspectPaths(frozenset[Path]):
    """The paths of what was left out or replaced by a placeholder."""

    def covers(self, path: Path) -> bool:
        """Whether the value at `path` is suspect, or in one that is."""
        return any(path[: len(one)] == one for one in self)

    def touches(self, path: Path) -> bool:
        """Whether the value at `path` or a part of it is suspect, or it is in one that is."""
        return self.covers(path) or any(one[: len(path)] == path for one in self)

    def filter(self, diagnostics: Iterable[Diagnostic]) -> Iterator[Diagnostic]:
        """The diagnostics about what was written."""
        for one in diagnostics:
            if not (self.covers(one.path) if one.about_key else self.touches(one.path)):
                yield one


@dataclass(frozen=True, slots=True)
class PartialModel[M: BaseModel]:
    """`model` is None where too little is valid. `checks`: errors of validators that compare several keys, which
    run only when each key by itself is valid.
    """

    model: M | None
    suspect: SuspectPaths
    checks: tuple[FieldError, ...] = ()


def parse_partially[M: BaseModel](
    value: dict[str, Any], model: type[M], uncompared: Collection[str] = ()
) -> PartialModel[M]:
    """The model of what is valid. `uncompared`: keys that no validator compares with others."""
    entry = copy.deepcopy(value)
    attempts: Counter[Path] = Counter()
    checks: list[FieldError] = []
    for _ in range(MAX_ERRORS):
        suspect = SuspectPaths(attempts)
        built, errors = validate_model(entry, model)
        if built is not None:
            return PartialModel(built, suspect, tuple(checks))
        if len(errors) > MAX_ERRORS:
            break
        if attempts and all(path[0] in uncompared for path in attempts):
            checks += [error for error in errors if error.is_check and not suspect.covers(error.path)]
        # An error within a placeholder is about the placeholder.
        places = {
            next((one for one in suspect if error.place[: len(one)] == one), error.place) for error in errors
        }
        if not all(_replace(entry, place, attempts) for place in places):
            break
    return PartialModel(None, SuspectPaths(attempts), tuple(checks))


def _replace(entry: dict[str, Any], place: Path, attempts: Counter[Path]) -> bool:
    """Leave the value out; when that was tried, put the next placeholder there. False when none is left."""
    if not place:
        return False
    holder: Any = entry
    for step in place[:-1]:
        try:
            holder = holder[step]
        except (KeyError, IndexError, TypeError):
            return True  # it went with what was around it
    key = place[-1]
    can_be_left_out = isinstance(holder, dict) and key in holder
    attempt = attempts[place] or (0 if can_be_left_out else 1)
    attempts[place] = attempt + 1
    if attempt == 0:
        del holder[key]
    elif attempt <= len(PLACEHOLDERS):
        holder[key] = PLACEHOLDERS[attempt - 1]
    return attempt <= len(PLACEHOLDERS)
