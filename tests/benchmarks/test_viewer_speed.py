"""How much virtual viewing a second of CPU buys.

The claim is 15,000 viewer-seconds or more (it came to 24,000 on the machine where it was made). Machines
differ, so what is asserted is a ratio within one run: a request in virtual time may cost
at most `AT_MOST` times the CPU of the same request over the loopback of the same machine.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from tests.benchmarks.viewers import PERIOD_S, SEGMENT_BYTES, fetch_over_loopback, watch_in_virtual_time

VIEWERS = 100
VIRTUAL_S = 600.0

LOOPBACK_REQUESTS = 500

AT_MOST = 1.25
"""Where the claim was made, 15,000 viewer-seconds per CPU-second are 267 µs a request (one every 4 s), and
aiohttp over loopback takes 210 µs."""


def cpu_s(call: Callable[[], object]) -> float:
    start_s = time.process_time()
    call()
    return time.process_time() - start_s


def loopback_s() -> float:
    """CPU time of one request over loopback, client and server together."""
    total_s = cpu_s(lambda: asyncio.run(fetch_over_loopback(LOOPBACK_REQUESTS)))
    return total_s / LOOPBACK_REQUESTS


@pytest.mark.benchmark(timer=time.process_time)
def test_viewer_seconds_per_cpu_second(
    benchmark: BenchmarkFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    loopback_s()  # imports, caches
    before_s = loopback_s()
    costs: list[float] = []

    def run() -> None:
        start_s = time.process_time()
        viewing = watch_in_virtual_time(VIEWERS, VIRTUAL_S)
        costs.append((time.process_time() - start_s) / viewing.requests)
        assert viewing.requests == VIEWERS * VIRTUAL_S / PERIOD_S

    benchmark.pedantic(run, rounds=3, warmup_rounds=0)
    request_s, baseline_s = min(costs), max(before_s, loopback_s())
    ratio = request_s / baseline_s
    benchmark.extra_info |= {
        "viewer_seconds_per_cpu_second": round(PERIOD_S / request_s),
        "cpu_us_per_request": round(request_s * 1e6, 1),
        "cpu_us_per_request_over_loopback": round(baseline_s * 1e6, 1),
        "ratio_to_loopback": round(ratio, 3),
    }
    with capsys.disabled():
        print(
            f"\n{PERIOD_S / request_s:,.0f} viewer-seconds per CPU-second: {request_s * 1e6:.0f} µs a "
            f"request; {baseline_s * 1e6:.0f} µs over loopback"
        )
    assert ratio <= AT_MOST, f"a request in virtual time costs {ratio:.2f} times one over loopback"


FULL_AT_MOST = 6.0
"""It came to 3: each segment takes 4 s, shows twice a second, and shares the link with 150 others, whose rates
change when it starts and when it ends."""


@pytest.mark.benchmark(timer=time.process_time)
def test_a_full_link_costs_no_more_than_a_few_times_an_empty_one(benchmark: BenchmarkFixture) -> None:
    """200 viewers on a link for 180 of them, against as many with room to spare."""
    viewers, for_s = 200, 40.0
    segments_bps = viewers * SEGMENT_BYTES * 8 / PERIOD_S
    empty_s = min(cpu_s(lambda: watch_in_virtual_time(viewers, for_s)) for _ in range(2))
    full: list[float] = []

    def run() -> None:
        full.append(cpu_s(lambda: watch_in_virtual_time(viewers, for_s, 0.9 * segments_bps)))

    benchmark.pedantic(run, rounds=2)
    ratio = min(full) / empty_s
    benchmark.extra_info["ratio_to_empty"] = round(ratio, 2)
    assert ratio <= FULL_AT_MOST
