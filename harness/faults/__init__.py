"""The catalogue of faults: one small file a fault, composed of a runtime's primitives."""

from harness.faults.applied import CompositeApplied, apply_all
from harness.faults.base import Fault, LinkFault, NodeFault
from harness.faults.primitives import Applied, Exposure, FaultFailed, Primitive, Primitives
from harness.faults.target import ResolvedTarget

__all__ = [
    "Applied",
    "CompositeApplied",
    "Exposure",
    "Fault",
    "FaultFailed",
    "LinkFault",
    "NodeFault",
    "Primitive",
    "Primitives",
    "ResolvedTarget",
    "apply_all",
]
