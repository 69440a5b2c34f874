"""The programs of the benchmarks still run, on a small scale. `make bench` runs and measures them at full size."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.benchmarks import test_proxy_throughput as throughput
from tests.benchmarks.memory_lives import LIVES, Memory
from tests.benchmarks.viewers import PERIOD_S, fetch_over_loopback, watch_in_virtual_time

ROOT = Path(__file__).parents[1]

MAX_BLOCKS_PER_REQUEST = 2
"""What a process may have in use more for a request that is over. A leak has several blocks for each."""

SHORT_LIVES = """
import dataclasses, json
from tests.benchmarks.memory_lives import EARLY_S, LIVES, early_and_late
found = {name: early_and_late(life, EARLY_S, EARLY_S + 300.0) for name, life in LIVES.items()}
print(json.dumps({name: [dataclasses.asdict(one) for one in pair] for name, pair in found.items()}))
"""


def test_no_kind_of_request_leaves_memory_behind() -> None:
    """Counts of the allocator and of the collector, which are exact; `make bench` looks at resident memory too."""
    done = subprocess.run(
        [sys.executable, "-c", SHORT_LIVES], cwd=ROOT, capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    assert list(found) == list(LIVES)
    for name, moments in found.items():
        early, late = (Memory(**moment) for moment in moments)
        requests = late.requests - early.requests
        assert requests > 700, name
        assert late.blocks - early.blocks <= MAX_BLOCKS_PER_REQUEST * requests, name
        assert late.objects - early.objects <= MAX_BLOCKS_PER_REQUEST * requests, name


def test_viewers_fetch_in_virtual_time_and_over_loopback() -> None:
    assert watch_in_virtual_time(3, 4 * PERIOD_S).requests == 12
    asyncio.run(fetch_over_loopback(3))


@pytest.mark.parametrize(
    ("upstream", "what"),
    [("upstream", throughput.small), ("upstream", throughput.median_s), ("service", throughput.http)],
    ids=["small", "latency", "http"],
)
def test_every_proxy_program_answers(
    upstream: str, what: throughput.Measure, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("REQUESTS", "HTTP_REQUESTS", "SINGLE_REQUESTS"):
        monkeypatch.setattr(throughput, name, 32)
    with ExitStack() as running:
        samples = throughput.measure(throughput.places(upstream, running), what, rounds=1)
    assert list(samples) == ["direct", "streams", "standard loop", "uvloop"]
    assert all(sample.value > 0 for each in samples.values() for sample in each)
