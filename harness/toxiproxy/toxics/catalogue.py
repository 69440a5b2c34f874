"""The toxics by type: those that come with the server, and users' own (entry-point group `harness.toxics`).

A package adds its own in its pyproject.toml, as docs/toxiproxy.md shows:

    [project.entry-points."harness.toxics"]
    hold = "my_package.hold:Hold"
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points

from harness.errors import HarnessError
from harness.toxiproxy.toxics.bandwidth import Bandwidth
from harness.toxiproxy.toxics.base import Behaviour
from harness.toxiproxy.toxics.latency import Latency
from harness.toxiproxy.toxics.limit_data import LimitData
from harness.toxiproxy.toxics.noop import Noop
from harness.toxiproxy.toxics.reset_peer import ResetPeer
from harness.toxiproxy.toxics.slicer import Slicer
from harness.toxiproxy.toxics.slow_close import SlowClose
from harness.toxiproxy.toxics.timeout import Timeout

GROUP = "harness.toxics"

BUILT_IN: tuple[type[Behaviour], ...] = (
    Noop,
    Latency,
    Bandwidth,
    SlowClose,
    Timeout,
    ResetPeer,
    Slicer,
    LimitData,
)


class ToxicModelError(HarnessError):
    """An entry point of the group `harness.toxics` is not a valid toxic."""


def catalogue() -> dict[str, type[Behaviour]]:
    """All toxics by type, the built-in ones first. Raises ToxicModelError for a broken or duplicate entry point."""
    found: dict[str, type[Behaviour]] = {kind.TYPE: kind for kind in BUILT_IN}
    for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value)):
        label = f"toxic '{point.name}' ({point.value})"
        try:
            value = point.load()
        except Exception as error:
            raise ToxicModelError(f"{label} cannot be imported: {type(error).__name__}: {error}") from error
        if not (isinstance(value, type) and issubclass(value, Behaviour)):
            raise ToxicModelError(f"{label} is not a subclass of harness.toxiproxy.toxics.Behaviour")
        if getattr(value, "TYPE", None) != point.name:
            raise ToxicModelError(f"{label} must set TYPE = '{point.name}'")
        if point.name in found:
            raise ToxicModelError(f"{label} is a duplicate of {found[point.name].__qualname__}")
        found[point.name] = value
    return found


TOXICS: Mapping[str, type[Behaviour]] = catalogue()
"""What the API can add, by the `type` of its requests."""
