"""`python -m systems.streaming.player`: one offline session, printed as JSON."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from systems.streaming.player.offline import Movie, play
from systems.streaming.player.trace import Period

EXIT_USAGE = 4


class _MovieFile(BaseModel):
    model_config = ConfigDict(extra="ignore")

    segment_duration_ms: float = Field(gt=0)
    bitrates_kbps: tuple[float, ...] = Field(min_length=1)
    segment_sizes_bits: tuple[tuple[float, ...], ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _fits(self) -> _MovieFile:
        if any(b <= 0 for b in self.bitrates_kbps) or list(self.bitrates_kbps) != sorted(
            set(self.bitrates_kbps)
        ):
            raise ValueError("bitrates_kbps must be above 0 and rise")
        for index, sizes in enumerate(self.segment_sizes_bits):
            if len(sizes) != len(self.bitrates_kbps) or min(sizes) <= 0:
                raise ValueError(
                    f"segment_sizes_bits[{index}] has {len(sizes)} sizes; it needs one above 0 for each of the "
                    f"{len(self.bitrates_kbps)} bitrates"
                )
        return self


class _PeriodFile(BaseModel):
    model_config = ConfigDict(extra="ignore")

    duration_ms: float = Field(ge=0)
    bandwidth_kbps: float = Field(ge=0)
    latency_ms: float = Field(ge=0)


class BadInput(ValueError):
    """A file that cannot be used; the message says which, what was found and what it needs."""


def read_movie(path: Path) -> Movie:
    """Raises BadInput."""
    found = _validated(path, TypeAdapter(_MovieFile))
    return Movie(found.segment_duration_ms, found.bitrates_kbps, found.segment_sizes_bits)


def read_trace(path: Path) -> tuple[Period, ...]:
    """Raises BadInput."""
    found = _validated(path, TypeAdapter(list[_PeriodFile]))
    if not any(period.bandwidth_kbps > 0 and period.duration_ms > 0 for period in found):
        raise BadInput(
            f"{path}: no period has both a duration and a bandwidth above 0: nothing would ever arrive"
        )
    return tuple(Period(p.duration_ms, p.bandwidth_kbps, p.latency_ms) for p in found if p.duration_ms > 0)


def _validated[T](path: Path, adapter: TypeAdapter[T]) -> T:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: cannot be read: {error}") from error
    try:
        data: Any = json.loads(text)
    except ValueError as error:
        raise BadInput(f"{path}: is not JSON: {error}") from error
    try:
        return adapter.validate_python(data)
    except ValidationError as error:
        lines = [
            f"{path}: {'.'.join(map(str, item['loc'])) or 'the file'}: {item['msg'].removeprefix('Value error, ')}"
            for item in error.errors()[:10]
        ]
        raise BadInput("\n".join(lines)) from error


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m systems.streaming.player", description="Play a movie over a network trace, offline."
    )
    parser.add_argument("--movie", type=Path, required=True, help="JSON: durations, bitrates, segment sizes")
    parser.add_argument(
        "--trace", type=Path, required=True, help="JSON: [{duration_ms, bandwidth_kbps, latency_ms}]"
    )
    parser.add_argument("--abr", choices=("throughput", "bola"), default="bola")
    parser.add_argument("--buffer", type=float, default=25.0, help="the most the buffer holds, in seconds")
    parser.add_argument("--no-abandon", action="store_true", help="never give a download up")
    parser.exit_on_error = True
    given = parser.parse_args(arguments)
    try:
        movie, trace = read_movie(given.movie), read_trace(given.trace)
        if not given.buffer * 1000 > movie.segment_ms:
            raise BadInput(
                f"--buffer {given.buffer:g}: must hold more than one segment ({movie.segment_ms / 1000:g} s)"
            )
    except BadInput as error:
        print(error, file=sys.stderr)
        return EXIT_USAGE
    record = play(movie, trace, abr=given.abr, buffer_s=given.buffer, abandon=not given.no_abandon)
    print(json.dumps(asdict(record)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
