"""Memory of the server around bulk transfers over 8 connections: what toxics held goes back to the system."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from tests.benchmarks.test_proxy_table import Server, source, streams

MAX_KEPT_MB = 16.0
WAIT_S = 10.0


def resident_mb(process: int, field: str = "VmRSS") -> float:
    return int(Path(f"/proc/{process}/status").read_text().split(f"{field}:")[1].split()[0]) / 1000


@pytest.mark.parametrize(
    ("kind", "attributes"),
    [
        (None, {}),
        ("noop", {}),
        ("latency", {"latency": 300}),
        ("slicer", {"average_size": 4096}),
        ("bandwidth", {"rate": 1_000_000}),
    ],
)
@pytest.mark.parametrize("flags", [(), ("--no-uvloop",)], ids=["uvloop", "standard"])
def test_memory_is_returned_after_bulk(
    benchmark: BenchmarkFixture, kind: str | None, attributes: dict[str, int], flags: tuple[str, ...]
) -> None:
    def run() -> dict[str, float]:
        with ExitStack() as running:
            server = Server(running, flags, {"bulk": running.enter_context(source())})
            if kind is not None:
                server.post("/proxies/bulk/toxics", {"type": kind, "attributes": attributes})
            before = resident_mb(server.process)
            streams(server.ports["bulk"])
            end_s = time.perf_counter() + WAIT_S
            while (
                after := resident_mb(server.process)
            ) > before + MAX_KEPT_MB and time.perf_counter() < end_s:
                time.sleep(0.1)  # noqa: TID251 (another process)
            return {"before": before, "most": resident_mb(server.process, "VmHWM"), "after": after}

    found: dict[str, float] = benchmark.pedantic(run, rounds=1, warmup_rounds=0)
    benchmark.extra_info["resident_mb"] = found
    print(f"\n{kind} {json.dumps(attributes)}: resident MB {found}")
    assert found["after"] <= found["before"] + MAX_KEPT_MB
