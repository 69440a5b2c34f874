"""`Capability`: what a fault needs of a runtime."""

from __future__ import annotations

from enum import StrEnum


class Capability(StrEnum):
    """A primitive, or a variant of one that not every runtime has."""

    SHAPE = "shape"
    """Latency, jitter and a rate on a path, for each pair of hosts."""
    SHAPE_LOSS = "shape-loss"
    """`shape` with packet loss."""
    SHARED_RATE = "shared-rate"
    """`shape` with one rate for all matching traffic together."""
    CUT = "cut"
    """Silence on a path, one way."""
    RESET = "reset"
    """Connections are broken with RST."""
    KILL = "kill"
    """The process of a node ends at once."""
    POWER_OFF = "power-off"
    """A node ends at once, and nothing answers for it."""
    START = "start"
    """A node that is down is started again."""
    PAUSE = "pause"
    """The process of a node is stopped and continued."""
    HTTP = "http"
    """HTTP requests at a node are delayed or answered with an error."""
    CPU_LIMIT = "cpu-limit"
    """A node gets a part of one processor core."""
