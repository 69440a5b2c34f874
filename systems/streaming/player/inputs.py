"""The files of the offline player: a movie and a network trace. `BadInput` lists every problem of a file."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from .offline import Movie
from .trace import Period

MAX_SHOWN = 20
"""How many problems of one file are listed; the others are counted."""

type Positive = Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)]
type NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)]


class BadInput(ValueError):
    """A file is not valid. One line for each problem: the file, the place in it, what is expected."""


class _MovieFile(BaseModel):
    model_config = ConfigDict(extra="ignore")

    segment_duration_ms: Positive
    bitrates_kbps: tuple[Positive, ...] = Field(min_length=1)
    segment_sizes_bits: tuple[tuple[Positive, ...], ...]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        rates, problems = self.bitrates_kbps, []
        for lower, higher in itertools.pairwise(rates):
            if lower >= higher:
                problems.append(f"bitrates_kbps must increase; found {higher:g} after {lower:g}")
        if not self.segment_sizes_bits:
            problems.append("segment_sizes_bits must not be empty")
        for index, sizes in enumerate(self.segment_sizes_bits):
            if len(sizes) != len(rates):
                problems.append(
                    f"segment_sizes_bits[{index}] must have one size per bitrate ({len(rates)}); found {len(sizes)}"
                )
        if problems:
            raise ValueError("\n".join(problems))
        return self


class _PeriodFile(BaseModel):
    model_config = ConfigDict(extra="ignore")

    duration_ms: NotNegative
    bandwidth_kbps: NotNegative
    latency_ms: NotNegative


def read_movie(path: Path) -> Movie:
    """`{segment_duration_ms, bitrates_kbps (increasing), segment_sizes_bits: [[bits of each bitrate] ...]}`.

    Raises BadInput.
    """
    found = _read(path, TypeAdapter(_MovieFile))
    return Movie(found.segment_duration_ms, found.bitrates_kbps, found.segment_sizes_bits)


def read_trace(path: Path) -> tuple[Period, ...]:
    """`[{duration_ms, bandwidth_kbps, latency_ms} ...]`; periods with duration 0 are ignored. Raises BadInput."""
    found = [period for period in _read(path, TypeAdapter(list[_PeriodFile])) if period.duration_ms > 0]
    if not any(period.bandwidth_kbps > 0 for period in found):
        raise BadInput(f"{path}: at least one period must have duration_ms > 0 and bandwidth_kbps > 0")
    return tuple(Period(p.duration_ms, p.bandwidth_kbps, p.latency_ms) for p in found)


def _read[T](path: Path, adapter: TypeAdapter[T]) -> T:
    try:
        text = path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path}: cannot read it: {error.strerror or error}") from error
    try:
        return adapter.validate_json(text)
    except ValidationError as error:
        lines = [
            f"{path}: {place}{line}"
            for item in error.errors(include_url=False)
            for place in [_place(item["loc"])]
            for line in item["msg"].removeprefix("Value error, ").split("\n")
        ]
        more = len(lines) - MAX_SHOWN
        raise BadInput(
            "\n".join(lines[:MAX_SHOWN] + ([f"{path}: and {more} more"] if more > 0 else []))
        ) from error


def _place(location: tuple[int | str, ...]) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")
    return f"{text}: " if text else ""
