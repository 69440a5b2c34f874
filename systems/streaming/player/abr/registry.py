"""The ABR rules by name: one file in this package each, and those of other packages.

Every module of this package is imported; the decorator `abr_rule` registers a rule. Another package adds its own in
its pyproject.toml, as docs/extending.md shows:

    [project.entry-points."streaming.abr_rules"]
    lowest = "my_package.lowest:Lowest"
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from types import MappingProxyType

from ..estimator import Estimator
from .rule import Ladder, Rule, RuleFactory

GROUP = "streaming.abr_rules"

_RULES: dict[str, RuleFactory] = {}


def abr_rule[R: RuleFactory](name: str) -> Callable[[R], R]:
    """Decorator: register a rule under a name. Raises ValueError where the name is taken."""

    def register(rule: R) -> R:
        if _RULES.setdefault(name, rule) is not rule:
            raise ValueError(f"ABR rule '{name}' is registered twice")
        return rule

    return register


@functools.cache
def abr_rules() -> Mapping[str, RuleFactory]:
    """All rules by name, sorted."""
    assert __package__ is not None
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        importlib.import_module(f"{__package__}.{module.name}")
    for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value)):
        abr_rule(point.name)(point.load())
    return MappingProxyType(dict(sorted(_RULES.items())))


def make_rule(name: str, ladder: Ladder, estimator: Estimator, buffer_size_ms: float) -> Rule:
    """The rule of that name for one session. Raises ValueError for an unknown name."""
    rules = abr_rules()
    if name not in rules:
        raise ValueError(f"unknown ABR rule '{name}'; allowed: {', '.join(rules)}")
    return rules[name](ladder, estimator, buffer_size_ms)
