"""Loads as segments, for tests."""

from __future__ import annotations

from harness.experiment.load import LoadSegment


def constant(rate_per_s: float, for_s: float) -> tuple[LoadSegment, ...]:
    return (LoadSegment(rate_per_s, rate_per_s, for_s),)
