"""Finding a system by name: an entry point of the group `harness.systems`, or `module:attribute`."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import json
import os
import sys
import traceback
from importlib.metadata import Distribution, EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import unquote, urlparse

from harness.diagnostics import Code, Diagnostic, unknown_name
from harness.errors import InvalidInput
from harness.system.model import System
from harness.text import did_you_mean


def load_entry_point(point: EntryPoint) -> Any:
    """The object that the entry point names. Raises what its import raises."""
    top, _, below = point.module.partition(".")
    own = None if point.dist is None else _own_package(point.dist, top)
    if own is None or _is_imported_from(top, own):
        return point.load()
    alias = f"_{point.dist.name.replace('-', '_')}_{top}" if point.dist is not None else top
    _import_package(alias, own)
    module = importlib.import_module(f"{alias}.{below}" if below else alias)
    found: Any = module
    for name in point.attr.split("."):
        found = getattr(found, name)
    return found


def _own_package(distribution: Distribution, name: str) -> Path | None:
    """The directory of the distribution's package, installed or editable; None where it has none of that name."""
    roots = [Path(str(distribution.locate_file("")))]
    if origin := distribution.read_text("direct_url.json"):
        url = urlparse(json.loads(origin)["url"])
        if url.scheme == "file":
            root = Path(unquote(url.path))
            roots += [root, root / "src"]
    return next((root / name for root in roots if (root / name / "__init__.py").is_file()), None)


def _is_imported_from(name: str, directory: Path) -> bool:
    """Whether an import of the package takes it from that directory."""
    imported = sys.modules.get(name)
    if imported is not None:
        places = list(getattr(imported, "__path__", ()))
    else:
        spec = importlib.util.find_spec(name)
        places = list((spec and spec.submodule_search_locations) or ())
    return any(Path(place).resolve() == directory.resolve() for place in places)


def _import_package(name: str, directory: Path) -> ModuleType:
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(
        name, directory / "__init__.py", submodule_search_locations=[str(directory)]
    )
    assert spec is not None  # a file that ends with .py has both
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


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
    if "" not in sys.path and os.getcwd() not in sys.path:
        # A script in a directory of the project has only that directory on its path.
        sys.path.append(os.getcwd())
    try:
        return getattr(importlib.import_module(module_name), attribute)
    except ModuleNotFoundError as error:
        allowed = "write 'module:attribute'; the module must be importable from the working directory"
        raise _invalid(name, str(error), allowed) from error
    except AttributeError as error:
        systems = [key for key, value in vars(sys.modules[module_name]).items() if isinstance(value, System)]
        hint = did_you_mean(attribute, systems)
        raise _invalid(name, str(error), "write 'module:attribute' of a System", hint) from error
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


def _invalid(name: str, found: str, allowed: str = "", hint: str = "") -> InvalidSystem:
    return InvalidSystem([Diagnostic(Code.BAD_SYSTEM, f"system '{name}': {found}", allowed, hint)])


def _locate(error: Exception) -> str:
    """The error with the file and line of the system's own module."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}:{error.lineno}: SyntaxError: {error.msg}"
    frames = traceback.extract_tb(error.__traceback__)
    at = f"{frames[-1].filename}:{frames[-1].lineno}: " if frames else ""
    return f"{at}{type(error).__name__}: {error}"
