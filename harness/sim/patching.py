"""Replacing globals of libraries, with checks that fail loudly when a library has moved what is replaced."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import Any

from harness.errors import HarnessError
from harness.runtime.host import HostError


class DeterminismError(HarnessError):
    """Determinism cannot be promised; the message says which library and version, and what is missing."""


class RefusedError(DeterminismError, HostError, NotImplementedError):
    """Code of the system under test would leave or block the simulated world. The run is an error, whatever catches
    it; the message says what to use instead."""


@dataclass(frozen=True, slots=True)
class PatchPoint:
    """A global of a module that is replaced. `used_by`: functions that must look it up there.

    `shadows` marks a builtin: the global does not exist until it is put there.
    """

    module: str
    attribute: str
    used_by: tuple[str, ...] = ()
    shadows: bool = False


def patch(point: PatchPoint, value: Any) -> Callable[[], None]:
    """Replace it; returns the undo. DeterminismError when the library does not look as expected."""
    module = importlib.import_module(point.module)
    if not point.shadows and not hasattr(module, point.attribute):
        raise moved(point, f"there is no global '{point.attribute}'")
    for path in point.used_by:
        _check_use(module, point, path)
    if point.shadows:
        if point.attribute in vars(module):
            raise moved(point, f"there is a global '{point.attribute}' of its own")
        setattr(module, point.attribute, value)
        return lambda: delattr(module, point.attribute)
    before = getattr(module, point.attribute)
    setattr(module, point.attribute, value)
    return lambda: setattr(module, point.attribute, before)


def _check_use(module: ModuleType, point: PatchPoint, path: str) -> None:
    found: Any = module
    for name in path.split("."):
        found = getattr(found, name, None)
    code = getattr(found, "__code__", None)
    if code is None:
        raise moved(point, f"there is no function '{path}'")
    if point.attribute not in code.co_names:
        raise moved(point, f"'{path}' does not use '{point.attribute}' any more")


def moved(point: PatchPoint, what: str) -> DeterminismError:
    """The error for a library in which a patch point is not where it was."""
    library = point.module.partition(".")[0]
    try:
        release = version(library)
    except PackageNotFoundError:
        release = sys.version.split()[0]
    return DeterminismError(
        f"{library} {release}: in {point.module}, {what}; runs would not be repeatable. Install the version "
        "that constraints.txt names, or mend harness/sim/determinism.py"
    )
