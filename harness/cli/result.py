"""`CommandResult`: what a command returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class CommandResult:
    """The exit code of a command, and the document that `--json` prints."""

    exit_code: int
    document: Mapping[str, Any] = field(default_factory=dict)
