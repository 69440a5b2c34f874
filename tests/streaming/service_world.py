"""The reference system's nodes on the real loopback, and a viewer's way of asking them."""

from __future__ import annotations

from typing import Any

from harness.system import Access, Client, Event, Host, Node
from systems.streaming.control.tokens import mint
from systems.streaming.system import NODES
from tests.support.local_host import LocalHost, LocalWorld


def nodes(*names: str) -> tuple[Node, ...]:
    """The system's nodes of these names or roles, in the system's own order."""
    found = tuple(node for node in NODES if node.name in names or node.role in names)
    assert found, names
    return found


def viewer(world: LocalWorld, account: str = "account-1", isp: str = "isp-a") -> LocalHost:
    if f"viewer-{account}" in world.hosts:
        return world.hosts[f"viewer-{account}"]
    access = Access(down_bps=50e6, up_bps=10e6, rtt_s=0.01)
    return world.client(Client(f"viewer-{account}", isp, "fibre", access, {"account": account}))


def headers(host: Host) -> dict[str, str]:
    return {
        "Authorization": f"Bearer {mint(str(host.config['account']), 0.0)}",
        "X-Session": host.name,
        "X-Network-Class": str(host.group),
        "X-Isp": host.zone,
    }


async def ask(
    host: Host, node: str, path: str, *, method: str = "GET", **kwargs: Any
) -> tuple[int, Any, Any]:
    """Status, JSON body (bytes when it is none), headers."""
    kwargs.setdefault("headers", headers(host))
    async with host.http(node).request(method, path, **kwargs) as response:
        body = await response.read()
        if response.content_type == "application/json":
            return response.status, await response.json(), response.headers
        return response.status, body, response.headers


def rows(world: LocalWorld, kind: type) -> list[Any]:
    return [row for _, row in world.records if isinstance(row, kind)]


def events(world: LocalWorld, name: str) -> list[dict[str, Any]]:
    return [dict(row.fields) for _, row in world.records if isinstance(row, Event) and row.name == name]
