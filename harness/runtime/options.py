"""`RuntimeOptions`: how a runtime is set up, as one value from the command line to the runtime.

Importing this module, and those with the options of the runtimes, is cheap: the command line needs them for its help.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

from harness.faults.primitives import Capability

if TYPE_CHECKING:
    from harness.runtime.contract import Runtime


@dataclass(frozen=True, slots=True)
class Lack:
    """Why a runtime, or this machine, cannot do something; `instead`: what to do about it."""

    reason: str
    instead: str = ""

    def __str__(self) -> str:
        return "; ".join(part for part in (self.reason, self.instead) if part)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a runtime can do as it is set up, on this machine.

    `available`: how each capability is provided. `lacks`: why another one is not; what is in neither is not available.
    """

    available: Mapping[Capability, str]
    lacks: Mapping[Capability, Lack] = field(default_factory=dict)
    programs: bool = True
    """Whether nodes may be programs, or run already (`Node.command`, `Node.external`)."""

    def missing(self, needed: Iterable[Capability]) -> tuple[Lack, ...]:
        """Why what is needed cannot be done, in the order of `Capability`; empty when all of it can."""
        wanted = frozenset(needed)
        return tuple(
            self.lacks.get(one, Lack(f"there is no {one.value} in this runtime"))
            for one in Capability
            if one in wanted and one not in self.available
        )


@dataclass(frozen=True, slots=True)
class Option:
    """An option of the command line, `--name`: a text, or a whole number from `min` on where that is given.

    `many`: it may be given more than once.
    """

    name: str
    help: str
    metavar: str | None = None
    choices: tuple[str, ...] = ()
    min: int | None = None
    many: bool = False


class RuntimeOptions(Protocol):
    """A frozen, picklable value, registered in `harness.engine.runtimes`."""

    name: ClassVar[str]
    summary: ClassVar[str]
    """For the help of the command line."""
    deterministic: ClassVar[bool]
    """The same seed gives the same history, so that a run can be replayed."""
    concurrent: ClassVar[bool]
    """Several runs on one machine do not disturb each other."""
    runtime: ClassVar[str]
    """`module:class` of the runtime; it is imported and called with these options when a run begins."""
    options: ClassVar[tuple[Option, ...]]
    """The options of the command line that `from_arguments` takes."""

    @classmethod
    def from_arguments(cls, given: Mapping[str, Any]) -> Self:
        """From the options that were given, by name. `problems` says what is wrong with the values."""
        ...

    def arguments(self) -> tuple[str, ...]:
        """The words of the command line that give these options again."""
        ...

    def problems(self, jobs: int = 1) -> tuple[str, ...]:
        """Everything that speaks against `jobs` runs at a time with these options on this machine."""
        ...

    def capabilities(self) -> Capabilities: ...


def create_runtime(options: RuntimeOptions) -> Runtime:
    """The runtime that these options are for."""
    module, _, name = options.runtime.partition(":")
    runtime: Runtime = getattr(import_module(module), name)(options)
    return runtime
