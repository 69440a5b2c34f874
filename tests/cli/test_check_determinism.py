"""`harness run --check-determinism`: what depends on the conditions of a process is named with its first event."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.support import BACKEND_LOST, call, write_suite

_SHORT = BACKEND_LOST.replace("6/s, for: 12s", "2/s, for: 12s").partition("gates:")[0] + (
    "gates:\n  - slo: quick\ndrain: 20s\n"
)


def test_the_first_event_that_differs_is_named(tmp_path: Path) -> None:
    suite = write_suite(
        tmp_path,
        ordered=_SHORT.replace("backend-lost", "ordered"),
        unordered=_SHORT.replace("backend-lost", "unordered").replace("toy_system", "unordered_system"),
    )
    called = call("run", suite, "--jobs", 1, "--check-determinism", "--reports", tmp_path / "r", "--json")
    document = json.loads(called.out)
    (difference,) = document["differences"]
    assert difference.startswith("unordered seed 1: the first event that differs is row 1 of table ")
    assert "latency_s = 0." in difference
    assert called.code == document["exit_code"] == 3


def test_what_never_repeats_is_refused(tmp_path: Path) -> None:
    suite = write_suite(tmp_path, ordered=_SHORT)
    called = call("run", suite, "--runtime", "live", "--check-determinism", "--reports", tmp_path / "r")
    assert called.code == 4
    assert "--check-determinism" in called.err
