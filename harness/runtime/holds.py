"""What keeps a node from running: faults may overlap, and each releases only what it holds itself."""

from __future__ import annotations

from typing import Literal

type Stop = Literal["kill", "power_off"]


class Hold:
    """One fault's claim on a node; compared by identity. The node runs again when the last is released."""
