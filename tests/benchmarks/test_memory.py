"""Memory does not grow with virtual time: what is over leaves nothing behind.

Each life (`memory_lives.py`) does the same thing for 200 virtual seconds and then on to 2,000, in a process of its
own, and the two moments are compared: the blocks that Python's allocator has in use (exact, small objects), what the
garbage collector tracks, and the resident memory of the process (large objects, and what the others cannot see).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from tests.benchmarks.memory_lives import LIVES, Memory

ROOT = Path(__file__).parents[2]

LEAST_REQUESTS = 4500
"""Served between the two moments, in every life."""

MORE_BLOCKS = LEAST_REQUESTS // 3
"""asyncio keeps up to a hundred cancelled timers, each with the context of its client. A leak that is worth
the name has several blocks for each request."""

MORE_RESIDENT_BYTES = 2_000_000
"""Four segments, which may be on their way at the second moment. One kept from every request would be gigabytes."""


def early_and_late(life: str) -> tuple[Memory, Memory]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.memory_lives", life],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    early, late = (Memory(**moment) for moment in json.loads(done.stdout))
    return early, late


@pytest.mark.parametrize("life", LIVES)
def test_memory_does_not_grow(benchmark: BenchmarkFixture, life: str) -> None:
    early, late = benchmark.pedantic(early_and_late, args=(life,), rounds=1)
    grown = Memory(*(getattr(late, name) - getattr(early, name) for name in Memory.__slots__))
    benchmark.extra_info |= {
        "blocks_more": grown.blocks,
        "objects_more": grown.objects,
        "resident_bytes_more": grown.resident_bytes,
        "resident_bytes": late.resident_bytes,
    }
    assert grown.requests >= LEAST_REQUESTS
    assert grown.blocks <= MORE_BLOCKS, grown
    assert grown.objects <= MORE_BLOCKS, grown
    assert grown.resident_bytes <= MORE_RESIDENT_BYTES, grown
