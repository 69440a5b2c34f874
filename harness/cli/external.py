"""The option `--toxiproxy URL`, checked before anything starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.runtime.contract import Network


def toxiproxy_at(url: str | None, network: Network, *, live: bool = True) -> str | None:
    """The server to make the proxies on; None for one of our own. Asks it. Stops with usage."""
    from harness.cli.outcome import usage
    from harness.runtime.contract import PROXY

    if url is None:
        return None
    if not live:
        raise usage("--toxiproxy is for live runs: add --runtime live")
    if network != PROXY:
        raise usage(
            f"--toxiproxy with --network {network}: a server of somebody else's cannot be in the namespaces of a run; "
            "leave out one of them"
        )
    from harness.live.external_proxies import server_problem

    if problem := server_problem(url):
        raise usage(f"--toxiproxy {problem}")
    return url
