"""Finding a system by name: an entry point of the group `harness.systems`, or `module:attribute`."""

from __future__ import annotations

import difflib
import importlib
import inspect
import traceback
from importlib.metadata import entry_points

from harness.system.distribution import load_entry_point
from harness.system.model import System

GROUP = "harness.systems"


class UnknownSystem(LookupError):
    """No such system; the message says what was found, what is allowed and what to do."""


def system_names() -> tuple[str, ...]:
    return tuple(sorted(point.name for point in entry_points(group=GROUP)))


def load_system(name: str) -> System:
    """The system of that name. Raises UnknownSystem, also when what is found is not a `System`."""
    if ":" in name:
        module_name, _, attribute = name.partition(":")
        try:
            found = getattr(importlib.import_module(module_name), attribute)
        except ModuleNotFoundError as error:
            raise UnknownSystem(
                f"system '{name}': {error}; write 'module:attribute' of a System that can be imported from here "
                "(the working directory counts)"
            ) from error
        except AttributeError as error:
            raise UnknownSystem(f"system '{name}': {error}; write 'module:attribute' of a System") from error
        except Exception as error:
            raise UnknownSystem(f"system '{name}' cannot be imported: {_where(error)}") from error
    else:
        points = [point for point in entry_points(group=GROUP) if point.name == name]
        if not points:
            known = system_names()
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            raise UnknownSystem(
                f"no system '{name}'; installed: {', '.join(known) or 'none'} (or module:attribute){hint}"
            )
        try:
            found = load_entry_point(points[0])
        except Exception as error:
            raise UnknownSystem(f"system '{name}' cannot be imported: {_where(error)}") from error
    value = found
    if callable(found) and not isinstance(found, System) and not inspect.iscoroutinefunction(found):
        try:
            value = found()
        except Exception as error:
            raise UnknownSystem(f"system '{name}' cannot be made: {_where(error)}") from error
    if not isinstance(value, System):
        raise UnknownSystem(f"'{name}' is a {type(value).__name__}, not a harness.system.System")
    return value


def _where(error: Exception) -> str:
    """What is wrong in the system's own module, and where."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}:{error.lineno}: SyntaxError: {error.msg}"
    frames = traceback.extract_tb(error.__traceback__)
    at = f"{frames[-1].filename}:{frames[-1].lineno}: " if frames else ""
    return f"{at}{type(error).__name__}: {error}"
