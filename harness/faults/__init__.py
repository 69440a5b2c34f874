"""The catalogue of faults: one small file a fault, composed of a runtime's primitives."""

from harness.faults.applied import CompositeApplied, apply_all
from harness.faults.base import Fault, LinkFault, NodeFault
from harness.faults.capability import Capability
from harness.faults.primitives import Applied, Exposure, FaultFailed, Primitives
from harness.faults.target import ResolvedTarget

__all__ = [
    "Applied",
    "Capability",
    "CompositeApplied",
    "Exposure",
    "Fault",
    "FaultFailed",
    "LinkFault",
    "NodeFault",
    "Primitives",
    "ResolvedTarget",
    "apply_all",
]
