"""`Fault`: the base of every fault, built-in or of users' own. How to write one: docs/faults.md."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from harness.diagnostics import Code
from harness.errors import InvalidValue
from harness.experiment.model import FaultDefinition, Target
from harness.experiment.units import Ratio
from harness.faults.primitives import Applied, Capability, PathMatch, Primitives, ResolvedTarget
from harness.text import quote


class Fault(FaultDefinition):
    """When (`at`, seconds after load begins), for how long (`for`), on what (`target`), and how much.

    A subclass sets `targets` and `needs`, gives `fault` its name as a Literal default, and implements `apply`.
    A runtime that lacks one of `needs` refuses the experiment before anything starts.
    """

    needs: ClassVar[frozenset[Capability]]

    def needed(self) -> frozenset[Capability]:
        """What this fault needs as it is written: `needs`, and more where its parameters ask for it."""
        return self.needs

    async def apply(self, target: ResolvedTarget, primitives: Primitives) -> Applied:
        """Put the fault in force on `target`. Leaves nothing behind when it raises `FaultFailed`."""
        raise NotImplementedError(f"{type(self).__name__} does not say how it is applied")

    @property
    def lasts_s(self) -> float:
        """Seconds from `apply` to `undo`; 0 for what happens in an instant."""
        return self.for_ or 0.0

    @property
    def starts_s(self) -> tuple[float, ...]:
        """When it begins, each time."""
        return tuple(self.at + number * (self.every or 0.0) for number in range(self.times or 1))

    @property
    def ends_s(self) -> float:
        """When it ends, the last time."""
        return self.starts_s[-1] + self.lasts_s

    def occurrences(self) -> tuple[Self, ...]:
        """The fault once for each time that it happens."""
        single = {"every": None, "times": None}
        return tuple(self.model_copy(update={"at": at_s, **single}) for at_s in self.starts_s)

    def parameters(self) -> dict[str, Any]:
        """What this fault is set to, beyond when and where, for reports: name to value in base units."""
        own = type(self).model_fields.keys() - FaultDefinition.model_fields.keys()
        return {name: getattr(self, name) for name in type(self).model_fields if name in own}

    @model_validator(mode="after")
    def _check_kind(self) -> Self:
        link = isinstance(self.target, Target) and self.target.link is not None
        for problem in self.mismatches(
            has_duration=self.for_ is not None,
            has_link=link,
            has_every=self.every is not None,
            has_times=self.times is not None,
        ):
            raise InvalidValue(problem.code, problem.found, problem.allowed, path=problem.path)
        if self.when is not None and self.every is not None:
            allowed = "it happens once, at the first event"
            raise InvalidValue(Code.CONFLICT, "'every' beside 'when'", allowed, path=("every",))
        if self.every is not None and self.every <= self.lasts_s:
            found = f"every {self.every:g}s, and it lasts {self.lasts_s:g}s"
            raise InvalidValue(Code.BAD_TIMING, found, "it must end before it begins again", path=("every",))
        return self


class LinkFault(Fault):
    """Base of the faults on traffic. The target is a `link`, or hosts: then all traffic of those hosts.

    `direction`: `to` is the traffic towards the link's `to` end (or towards the hosts), `from` the
    traffic from there, `both` is both. Whoever opened a connection plays no part.
    """

    targets: ClassVar[Literal["nodes", "link"]] = "link"

    direction: Literal["both", "to", "from"] = "both"
    """which way: towards the link's `to` end (or the hosts), from there, or both"""

    def paths(self, target: ResolvedTarget) -> tuple[PathMatch, ...]:
        """The one-way paths; a single one where both ends are the same hosts, for it is its own reverse."""
        there, back = target.path, target.path.reversed()
        if self.direction == "to" or there == back:
            return (there,)
        return (back,) if self.direction == "from" else (there, back)


class NodeFault(Fault):
    """Base of the faults on whole nodes (servers): role, zone, node, pick."""

    targets: ClassVar[Literal["nodes", "link"]] = "nodes"


def _check_loss(value: float) -> float:
    if not 0 < value < 1:
        raise InvalidValue(
            Code.OUT_OF_RANGE,
            f"found {value * 100:.6g}%",
            "loss must be > 0% and < 100%",
            "to lose everything, write fault: partition" if value >= 1 else "",
        )
    return value


def _check_share(value: float) -> float:
    if not 0 < value <= 1:
        raise InvalidValue(
            Code.OUT_OF_RANGE, f"found {value * 100:.6g}%", "a share must be > 0% and at most 100%"
        )
    return value


def _check_route(value: str) -> str:
    if not value.startswith(("/", "*")):
        hint = f"did you mean '/{value}'?"
        raise InvalidValue(Code.BAD_VALUE, f"found {quote(value)}", "a route begins with / or *", hint)
    return value


type LossRatio = Annotated[Ratio, AfterValidator(_check_loss)]
type Share = Annotated[Ratio, AfterValidator(_check_share)]
type Route = Annotated[
    str,
    AfterValidator(_check_route),
    Field(description="a pattern on the path, e.g. /home or /v/*", json_schema_extra={"pattern": "^[/*]"}),
]
type Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
