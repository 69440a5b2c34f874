"""`python -m systems.streaming.player`: one offline session, printed as JSON."""

from __future__ import annotations

import argparse
import json
import math
import sys
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

from .abr import abr_rules
from .inputs import BadInput, read_movie, read_trace
from .offline import play

EXIT_USAGE = 4
"""As `harness`: nothing was run, because what was asked for cannot be."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(EXIT_USAGE, f"{self.prog}: {message}\n")


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 0, or 4 when an argument or a file cannot be used."""
    parser = _Parser(
        prog="python -m systems.streaming.player", description="Play a movie over a network trace, offline."
    )
    parser.add_argument(
        "--movie",
        type=Path,
        required=True,
        help="JSON: {segment_duration_ms, bitrates_kbps, segment_sizes_bits}",
    )
    parser.add_argument(
        "--trace", type=Path, required=True, help="JSON: [{duration_ms, bandwidth_kbps, latency_ms}]"
    )
    parser.add_argument("--abr", choices=tuple(abr_rules()), default="bola", help="the rule (default: bola)")
    parser.add_argument(
        "--buffer", type=float, default=25.0, help="the most the buffer holds, in seconds (default: 25)"
    )
    parser.add_argument("--no-abandon", action="store_true", help="never give a download up")
    given = parser.parse_args(arguments)
    problems = []
    movie = trace = None
    try:
        movie = read_movie(given.movie)
        if not (math.isfinite(given.buffer) and given.buffer * 1000 > movie.segment_ms):
            problems.append(
                f"--buffer {given.buffer:g}: it must hold more than one segment of {movie.segment_ms / 1000:g} s"
            )
    except BadInput as error:
        problems.append(str(error))
    try:
        trace = read_trace(given.trace)
    except BadInput as error:
        problems.append(str(error))
    if problems or movie is None or trace is None:
        print("\n".join(problems), file=sys.stderr)
        return EXIT_USAGE
    record = play(movie, trace, abr=given.abr, buffer_s=given.buffer, abandon=not given.no_abandon)
    print(json.dumps(asdict(record)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
