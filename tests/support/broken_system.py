"""The toy system with a backend that cannot start."""

from __future__ import annotations

from dataclasses import replace

from harness.system import Host
from tests.support import toy_system


async def backend(host: Host) -> None:
    raise ValueError("no such shelf")


_topology = toy_system.system.topology

system = replace(
    toy_system.system,
    topology=replace(
        _topology,
        nodes=tuple(
            replace(node, service=backend) if node.name == "backend-east" else node
            for node in _topology.nodes
        ),
    ),
)
