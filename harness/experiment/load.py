"""`Load`: how many clients of a workload arrive, and when: at a constant rate, or in stages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from harness.diagnostics import Code, Diagnostic
from harness.errors import InvalidValue
from harness.experiment.units import PositiveDuration, PositiveRate, Rate


class Frozen(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, use_attribute_docstrings=True
    )


class LoadStage(Frozen):
    """A part of a load: a constant rate (`at`), or a rate that changes linearly (`to`)."""

    at: Rate | None = None
    """The rate of the whole stage; 0/s is a pause."""
    to: Rate | None = None
    """The rate at the end of the stage. It begins with the rate before it, the first stage with 0/s."""
    for_: PositiveDuration = Field(alias="for")
    """How long the stage lasts."""

    @model_validator(mode="after")
    def _check_rate(self) -> Self:
        if (self.at is None) == (self.to is None):
            found = "a stage has 'at' or 'to'" if self.at is None else "found 'at' and 'to' in one stage"
            allowed = (
                "at: 4/s holds that rate, to: 4/s changes to it" if self.at is None else "give one of them"
            )
            code = Code.MISSING_KEY if self.at is None else Code.CONFLICT
            raise InvalidValue(code, found, allowed, path=() if self.at is None else ("to",))
        return self


@dataclass(frozen=True, slots=True)
class LoadSegment:
    """A time in which the rate changes linearly, or not at all. Rates in clients a second."""

    from_per_s: float
    to_per_s: float
    for_s: float

    @property
    def expected(self) -> float:
        """How many clients arrive in it, on average."""
        return (self.from_per_s + self.to_per_s) / 2 * self.for_s


def _kind_of(value: Any) -> str:
    return "stages" if isinstance(value, list | tuple) else "rate"


class Load(Frozen):
    """Open-loop Poisson arrivals of a workload's clients."""

    workload: str | None = None
    """Whose clients arrive, where the load has another name."""
    arrive: Annotated[
        Annotated[PositiveRate, Tag("rate")] | Annotated[tuple[LoadStage, ...], Tag("stages")],
        Discriminator(_kind_of),
    ]
    """How many new clients arrive, on average; or a list of stages, each with `at` or `to`, and `for`."""
    for_: PositiveDuration | None = Field(default=None, alias="for")
    """How long clients arrive. A list of stages has it in each stage instead."""
    mix: str
    """Which population: a mix of the workload."""

    @classmethod
    def mismatches(cls, arrive: Any, *, has_duration: bool) -> Iterator[Diagnostic]:
        """What does not go together, or is missing. `arrive`: as it is written, or of the model."""
        if _kind_of(arrive) == "rate":
            if not has_duration:
                allowed = "how long clients arrive, for example for: 30s"
                yield Diagnostic(Code.MISSING_KEY, "the load needs 'for'", allowed, "", ("for",))
            return
        if not arrive:
            allowed = "expected stages, for example [{at: 2/s, for: 60s}, {to: 20/s, for: 30s}]"
            yield Diagnostic(Code.EMPTY, "found no stage", allowed, "", ("arrive",))
        if has_duration:
            found = "found 'for' beside a list of stages"
            yield Diagnostic(Code.CONFLICT, found, "remove it: each stage has its own", "", ("for",), True)

    @model_validator(mode="after")
    def _check_arrivals(self) -> Self:
        for problem in self.mismatches(self.arrive, has_duration=self.for_ is not None):
            raise InvalidValue(problem.code, problem.found, problem.allowed, path=problem.path)
        if self.expected_clients <= 0:
            allowed = "at least one stage needs a rate > 0/s"
            raise InvalidValue(Code.OUT_OF_RANGE, "the load starts no clients", allowed, path=("arrive",))
        return self

    @property
    def segments(self) -> tuple[LoadSegment, ...]:
        """The rate over time, one segment after the other."""
        if isinstance(self.arrive, float):
            return (LoadSegment(self.arrive, self.arrive, self.for_ or 0.0),)
        found: list[LoadSegment] = []
        rate = 0.0
        for stage in self.arrive:
            first = rate if stage.at is None else stage.at
            rate = first if stage.to is None else stage.to
            found.append(LoadSegment(first, rate, stage.for_))
        return tuple(found)

    @property
    def duration_s(self) -> float:
        """How long clients arrive, in seconds."""
        return sum(segment.for_s for segment in self.segments)

    @property
    def expected_clients(self) -> float:
        """How many clients arrive, on average."""
        return sum(segment.expected for segment in self.segments)

    @property
    def rises_at_s(self) -> float | None:
        """When the rate first rises above what it was at the start, in seconds from then; None when it never does.

        From then on the load itself tests something.
        """
        time_s, first = 0.0, self.segments[0].from_per_s
        for segment in self.segments:
            if max(segment.from_per_s, segment.to_per_s) > first:
                return time_s
            time_s += segment.for_s
        return None

    def rate_at(self, time_s: float) -> float:
        """Clients a second at that time after the start of the load; 0 after its end."""
        for segment in self.segments:
            if time_s < segment.for_s:
                return segment.from_per_s + (segment.to_per_s - segment.from_per_s) * time_s / segment.for_s
            time_s -= segment.for_s
        return 0.0

    def workload_name(self, name: str) -> str:
        """The workload whose clients arrive. `name`: that of the load."""
        return self.workload or name
