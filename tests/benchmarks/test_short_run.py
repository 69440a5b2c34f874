"""How much a whole run costs beyond what happens in it: what a search for failures does thousands of times."""

from __future__ import annotations

from pytest_benchmark.fixture import BenchmarkFixture

from harness.runtime.contract import RunSettings, Session
from harness.sim.runtime import SimRuntime
from tests.sim.support import CLIENT, make_system


def test_a_run_of_one_request(benchmark: BenchmarkFixture) -> None:
    """A system of one node comes up, a client asks it once and leaves, everything ends."""
    settings = RunSettings(make_system(), seed=1)

    async def body(session: Session) -> int:
        async with session.client(CLIENT, "caller") as host, host.http("hello").get("/") as answer:
            return answer.status

    assert benchmark(lambda: SimRuntime().run(settings, body)) == 200
