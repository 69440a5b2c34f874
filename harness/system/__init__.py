"""What a system under test provides (`System`) and all it sees of the world (`Host`)."""

from harness.system.host import Clock, Disk, Event, Host, Row, Scalar
from harness.system.model import (
    Access,
    Chart,
    Client,
    Invariant,
    MatchInvariant,
    MatchRows,
    ParityMetric,
    Safeguard,
    StateChart,
    System,
    Workload,
)
from harness.system.pacing import constant_pacing
from harness.system.processor import Cost, ProcessorSlice
from harness.system.registry import InvalidSystem, find_system, system_names
from harness.system.topology import Link, Node, Service, Topology

__all__ = [
    "Access",
    "Chart",
    "Client",
    "Clock",
    "Cost",
    "Disk",
    "Event",
    "Host",
    "InvalidSystem",
    "Invariant",
    "Link",
    "MatchInvariant",
    "MatchRows",
    "Node",
    "ParityMetric",
    "ProcessorSlice",
    "Row",
    "Safeguard",
    "Scalar",
    "Service",
    "StateChart",
    "System",
    "Topology",
    "Workload",
    "constant_pacing",
    "find_system",
    "system_names",
]
