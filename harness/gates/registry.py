"""The kinds of gates by their YAML key: those of this package, and users' own.

Every module of this package is imported; a class with the decorator `gate_kind` is a kind. A package of a user
adds its own in its pyproject.toml (entry-point group `harness.gates`), as docs/extending.md shows:

    [project.entry-points."harness.gates"]
    heard = "my_package.gates:Heard"
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Mapping
from importlib.metadata import entry_points
from types import MappingProxyType

import harness.gates
from harness.errors import HarnessError
from harness.gates.base import Gate

GROUP = "harness.gates"

_KINDS: dict[str, type[Gate]] = {}


class GateKindError(HarnessError):
    """A class is not a valid kind of gate."""


def gate_kind[G: Gate](kind: type[G]) -> type[G]:
    """Decorator: register a kind of gate under its `key`. Raises GateKindError."""
    key = getattr(kind, "key", None)
    if not isinstance(key, str) or key not in kind.model_fields:
        raise GateKindError(f"gate {kind.__qualname__} needs a class variable 'key' and a field of that name")
    if _KINDS.setdefault(key, kind) is not kind:
        raise GateKindError(f"gate '{key}' is registered twice: {_KINDS[key].__module__}, {kind.__module__}")
    return kind


def gate_kinds() -> Mapping[str, type[Gate]]:
    """All kinds by key, sorted. Raises GateKindError for an entry point that gives no usable kind."""
    _load()
    # In the same order whatever is imported first.
    return MappingProxyType(dict(sorted(_KINDS.items())))


@functools.cache
def _load() -> None:
    for module in pkgutil.iter_modules(harness.gates.__path__):
        importlib.import_module(f"{harness.gates.__name__}.{module.name}")
    for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value)):
        kind = point.load()
        if not (isinstance(kind, type) and issubclass(kind, Gate)):
            raise GateKindError(f"gate '{point.name}' ({point.value}) is not a subclass of harness.Gate")
        if gate_kind(kind).key != point.name:
            raise GateKindError(
                f"gate '{point.name}' ({point.value}) has the key '{kind.key}'; give both one name"
            )
