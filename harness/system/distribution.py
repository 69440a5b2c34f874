"""Importing what an entry point names from the distribution that declares it, whatever else has its name.

A package `systems` in a user's working directory comes before an installed one of that name. Then the installed one
is imported under a name of its own. Its modules must import each other relatively; those of the reference system do.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
from importlib.metadata import Distribution, EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import unquote, urlparse


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
