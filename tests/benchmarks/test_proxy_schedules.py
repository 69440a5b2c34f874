"""2,000 random schedules of toxics on live streams (tests/toxiproxy/test_stream_integrity.py), on either loop."""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from tests.toxiproxy.test_stream_integrity import run_all

SCHEDULES = 2000


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("uvloop", [False, True], ids=["standard loop", "uvloop"])
def test_streams_under_random_toxics(benchmark: BenchmarkFixture, uvloop: bool) -> None:
    seeds = range(1000, 1000 + SCHEDULES)
    benchmark.pedantic(run_all, args=(seeds,), kwargs={"uvloop": uvloop}, rounds=1, warmup_rounds=0)
