"""`SimOptions`: virtual time has none to choose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from harness.runtime.options import Option

if TYPE_CHECKING:
    from harness.runtime.capabilities import Capabilities


@dataclass(frozen=True, slots=True)
class SimOptions:
    """Virtual time (`harness.runtime.options.RuntimeOptions`)."""

    name: ClassVar[str] = "sim"
    summary: ClassVar[str] = "in virtual time"
    deterministic: ClassVar[bool] = True
    concurrent: ClassVar[bool] = True
    runtime: ClassVar[str] = "harness.sim.runtime:SimRuntime"
    options: ClassVar[tuple[Option, ...]] = ()

    @classmethod
    def from_arguments(cls, given: Mapping[str, Any]) -> SimOptions:
        return cls()

    def arguments(self) -> tuple[str, ...]:
        return ()

    def problems(self, jobs: int = 1) -> tuple[str, ...]:
        return ()

    def capabilities(self) -> Capabilities:
        from harness.sim.capabilities import CAPABILITIES

        return CAPABILITIES
