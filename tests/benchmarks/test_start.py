"""How long the command takes to start: the help must come at once."""

from __future__ import annotations

import subprocess
import sys

from pytest_benchmark.fixture import BenchmarkFixture

MAX_S = 0.3


def test_help(benchmark: BenchmarkFixture) -> None:
    command = [sys.executable, "-m", "harness", "--help"]
    benchmark.pedantic(subprocess.run, (command,), {"capture_output": True, "check": True}, rounds=5)
    assert benchmark.stats is not None
    assert benchmark.stats.stats.min < MAX_S
