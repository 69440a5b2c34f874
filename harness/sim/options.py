"""`SimOptions`: virtual time has none to choose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from harness.runtime.options import Option

if TYPE_CHECKING:
    from harness.runtime.capabilities import Capabilities
    from harness.runtime.contract import Runtime


@dataclass(frozen=True, slots=True)
class SimOptions:
    """Virtual time (`harness.runtime.options.RuntimeOptions`)."""

    name: ClassVar[str] = "sim"
    summary: ClassVar[str] = "in virtual time"
    deterministic: ClassVar[bool] = True
    concurrent: ClassVar[bool] = True
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

    def create(self) -> Runtime:
        from harness.sim.runtime import SimRuntime

        return SimRuntime()
