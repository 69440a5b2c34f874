"""A service that is broken by itself is never a pass, however well its clients are looked after."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from aiohttp import web

from harness.engine.arm import run_arm
from harness.engine.plan import make_plan
from harness.runtime.journal import Journal
from harness.sim.runtime import SimRuntime
from harness.system import Host
from tests.engine.support import experiment_text, load


async def crashing(host: Host) -> None:
    async def offers(_: web.Request) -> web.Response:
        return web.json_response({"offers": 1 // 0})

    app = web.Application()
    app.router.add_get("/offers", offers)
    await host.serve(app)


def test_unhandled_errors_are_failures(tmp_path: Path) -> None:
    (loaded,) = load(tmp_path, experiment_text())
    topology = loaded.system.topology
    nodes = tuple(
        replace(node, service=crashing) if node.role == "backend" else node for node in topology.nodes
    )
    system = replace(loaded.system, topology=replace(topology, nodes=nodes))
    planned = make_plan(loaded, 1)
    metadata = run_arm(SimRuntime(), system, planned, planned.arms[0], lambda event: None).metadata
    assert any("ZeroDivisionError" in failure for failure in metadata.failures)


def test_a_healthy_system_has_none(tmp_path: Path) -> None:
    (loaded,) = load(tmp_path, experiment_text())
    planned = make_plan(loaded, 1)
    metadata = run_arm(SimRuntime(), loaded.system, planned, planned.arms[0], lambda event: None).metadata
    assert metadata.failures == ()


def test_an_error_of_the_start_that_goes_on_counts_from_the_first_one_in_run_time() -> None:
    moments = iter((-4.0, 2.0, 3.0))
    journal = Journal(lambda: next(moments))
    for _ in range(3):
        journal.unhandled("backend-east", "ValueError: no lease", ValueError("no lease"))
    assert journal.broken_since_s == {"backend-east: ValueError: no lease": 2.0}
    assert journal.background == {"backend-east: ValueError: no lease": 3}
