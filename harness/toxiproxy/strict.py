"""`-strict`: what Toxiproxy does not have is not there, as with any other server.

Keys that it does not know it ignores, so they are taken out of every request before anything looks at them.
"""

from __future__ import annotations

from typing import Any

from harness.toxiproxy.decode import Object
from harness.toxiproxy.toxics.base import ours
from harness.toxiproxy.toxics.catalogue import BUILT_IN

VERSION = "2.12.0"

_KEYS = frozenset({"accepting", "expires_in_s"}) | ours(BUILT_IN)


def proxy_only(value: Any) -> Any:
    """A proxy, or a list of them, without anything of ours."""
    if isinstance(value, list):
        return [proxy_only(item) for item in value]
    return _without(value, _KEYS | {"toxics"})


def toxic_only(value: Any) -> Any:
    """A toxic without anything of ours, in its attributes neither."""
    value = _without(value, _KEYS)
    if not isinstance(value, Object):
        return value
    return Object(
        tuple(
            (key, _without(item, _KEYS) if key.lower() == "attributes" else item) for key, item in value.pairs
        )
    )


def _without(value: Any, keys: frozenset[str]) -> Any:
    if not isinstance(value, Object):
        return value
    return Object(tuple(pair for pair in value.pairs if pair[0].lower() not in keys))
