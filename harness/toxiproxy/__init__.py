"""A Toxiproxy-compatible TCP proxy for resilience tests: HTTP API, toxics, metrics; nothing but asyncio.

Alone: `python -m harness.toxiproxy serve`. As a library, on the running loop:

    async with ToxiproxyServer(port=0, seed=7) as server:
        ...  # any Toxiproxy client against server.url

It speaks Toxiproxy's wire contract, so that existing clients drive it unchanged; docs/toxiproxy.md lists
where it is better on purpose. It imports nothing of the rest of the harness but its root exception.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.toxiproxy.server import Statistics, ToxiproxyServer

__all__ = ["Statistics", "ToxiproxyServer"]


def __getattr__(name: str) -> Any:
    # Lazy, because `python -m harness.toxiproxy --help` imports this module and should not pay for asyncio.
    if name in __all__:
        from harness.toxiproxy import server

        return getattr(server, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
