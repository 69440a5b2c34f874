"""What a system under test provides (`System`) and all it sees of the world (`Host`)."""

from harness.system.chart import Chart, StateChart
from harness.system.host import Clock, Disk, Host
from harness.system.model import Access, Client, Invariant, ParityMetric, Safeguard, System, Workload
from harness.system.records import Event, Row, Scalar
from harness.system.registry import UnknownSystem, load_system, system_names
from harness.system.topology import Link, Node, Service, Topology

__all__ = [
    "Access",
    "Chart",
    "Client",
    "Clock",
    "Disk",
    "Event",
    "Host",
    "Invariant",
    "Link",
    "Node",
    "ParityMetric",
    "Row",
    "Safeguard",
    "Scalar",
    "Service",
    "StateChart",
    "System",
    "Topology",
    "UnknownSystem",
    "Workload",
    "load_system",
    "system_names",
]
