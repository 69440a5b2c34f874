"""Finding a system by name: an entry point of the group `harness.systems`, or `module:attribute`."""

from __future__ import annotations

import importlib
import inspect
import traceback
from importlib.metadata import entry_points

from harness.diagnostics import Code, Diagnostic, unknown_name
from harness.errors import InvalidInput
from harness.system.distribution import load_entry_point
from harness.system.model import System

GROUP = "harness.systems"


class InvalidSystem(InvalidInput):
    """There is no system of that name, or it cannot be used."""


def system_names() -> tuple[str, ...]:
    """The names of the installed systems, sorted."""
    return tuple(sorted(point.name for point in entry_points(group=GROUP)))


def find_system(name: str) -> System:
    """The system of that name. Raises InvalidSystem, also where the object of that name is not a `System`."""
    found = _import(name) if ":" in name else _entry_point(name)
    value = found
    if callable(found) and not isinstance(found, System) and not inspect.iscoroutinefunction(found):
        try:
            value = found()
        except Exception as error:
            raise _invalid(name, f"calling it fails: {_locate(error)}") from error
    if not isinstance(value, System):
        raise _invalid(name, f"it is a {type(value).__name__}", "expected a harness.system.System")
    return value


def _import(name: str) -> object:
    module_name, _, attribute = name.partition(":")
    try:
        return getattr(importlib.import_module(module_name), attribute)
    except ModuleNotFoundError as error:
        allowed = "write 'module:attribute'; the module must be importable from the working directory"
        raise _invalid(name, str(error), allowed) from error
    except AttributeError as error:
        raise _invalid(name, str(error), "write 'module:attribute' of a System") from error
    except Exception as error:
        raise _invalid(name, f"it cannot be imported: {_locate(error)}") from error


def _entry_point(name: str) -> object:
    points = [point for point in entry_points(group=GROUP) if point.name == name]
    if not points:
        raise InvalidSystem([unknown_name("system", name, system_names(), also="module:attribute")])
    try:
        return load_entry_point(points[0])
    except Exception as error:
        raise _invalid(name, f"it cannot be imported: {_locate(error)}") from error


def _invalid(name: str, found: str, allowed: str = "") -> InvalidSystem:
    return InvalidSystem([Diagnostic(Code.BAD_SYSTEM, f"system '{name}': {found}", allowed)])


def _locate(error: Exception) -> str:
    """The error with the file and line of the system's own module."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}:{error.lineno}: SyntaxError: {error.msg}"
    frames = traceback.extract_tb(error.__traceback__)
    at = f"{frames[-1].filename}:{frames[-1].lineno}: " if frames else ""
    return f"{at}{type(error).__name__}: {error}"
