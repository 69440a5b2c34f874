"""The kinds of resources. A new kind is a file in this package and its line in `KINDS`."""

from __future__ import annotations

from pathlib import Path

from harness.live.resources.base import Item, Resource, UndoFailed, names
from harness.live.resources.control_groups import ControlGroups
from harness.live.resources.external_proxies import ExternalProxies
from harness.live.resources.fault import Fault
from harness.live.resources.loopback_addresses import LoopbackAddresses
from harness.live.resources.marked_processes import MarkedProcesses
from harness.live.resources.network_namespaces import NetworkNamespaces
from harness.live.resources.process import Process
from harness.live.resources.run_directory import RunDirectory

__all__ = [
    "KINDS",
    "ControlGroups",
    "ExternalProxies",
    "Fault",
    "Item",
    "LoopbackAddresses",
    "MarkedProcesses",
    "NetworkNamespaces",
    "Process",
    "Resource",
    "RunDirectory",
    "UndoFailed",
    "names",
    "resources_of_every_run",
]

KINDS: tuple[type[Resource], ...] = (
    Process,
    MarkedProcesses,
    NetworkNamespaces,
    ControlGroups,
    Fault,
    ExternalProxies,
    LoopbackAddresses,
    RunDirectory,
)
"""In the order in which they are undone: processes first, for they hold the rest."""


def resources_of_every_run(run: int, directory: Path) -> tuple[Resource, ...]:
    """What each run has, and what is known without a ledger."""
    return (
        MarkedProcesses(directory=directory),
        ControlGroups(run=run),
        LoopbackAddresses(run=run),
        RunDirectory(directory=directory),
    )
