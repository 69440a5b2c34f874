"""Nodes that are programs, and nodes that run already: any server, under faults."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from harness.engine.read import read_experiment
from harness.errors import ExperimentError
from harness.faults.primitives import EndpointMatch, FaultFailed, PathMatch
from harness.live.options import LiveOptions
from harness.live.runtime import LiveRuntime
from harness.runtime.contract import NotReady, RunSettings, Session
from harness.sim.runtime import SimRuntime
from harness.system import Access, Client, Host, Node, System, Topology, Workload

SERVER = (sys.executable, "-u", "-m", "http.server", "{port}", "--bind", "127.0.0.1")


def make(rng: object, mix: str, index: int) -> Client:
    return Client(f"u-{index}", "z", "g", Access(1e8, 1e8, 0.001))


async def use(host: Host) -> None:
    await status(host)


async def status(host: Host) -> int | None:
    try:
        async with host.http("web").get("/", timeout=aiohttp.ClientTimeout(total=1)) as answer:
            return answer.status
    except (aiohttp.ClientError, TimeoutError):
        return None


def with_node(node: Node) -> System:
    users = Workload("users", "user", ("g",), ("z",), {"all": "all"}, make, use)
    return System("programs", Topology(("z",), (node,), ()), (), {}, (users,))


program = with_node(Node("web-1", "web", "z", command=SERVER))
external = with_node(Node("web-1", "web", "z", external="127.0.0.1:8199"))
EVERYONE, WEB = EndpointMatch(everything=True), EndpointMatch(nodes=frozenset({"web-1"}))


@contextmanager
def server_of_somebody(directory: Path) -> Iterator[int]:
    """A server that runs already, at a port of its own."""
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=directory, text=True) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline().split(" port ")[1].split()[0])
        assert process.poll() is None, "it goes on after the run"
        process.kill()


@pytest.mark.live
def test_a_program_is_a_node_under_all_faults() -> None:
    async def body(session: Session) -> None:
        async with session.client(make(None, "all", 1), "user") as me:
            assert await status(me) == 200
            killed = await session.primitives.kill("web-1")
            assert await status(me) is None
            await killed.undo()
            assert await status(me) == 200
            paused = await session.primitives.pause("web-1")
            assert await status(me) is None
            await paused.undo()
            assert await status(me) == 200
            cut = await session.primitives.cut(PathMatch(EVERYONE, WEB))
            assert await status(me) is None
            await cut.undo()
            assert await status(me) == 200
        assert not session.failures

    LiveRuntime().run(RunSettings(program, 1, reference="tests.live.test_programs:program"), body)


@pytest.mark.live
def test_what_runs_already_has_faults_on_its_links(tmp_path: Path) -> None:
    async def body(session: Session) -> None:
        async with session.client(make(None, "all", 1), "user") as me:
            assert await status(me) == 200
            cut = await session.primitives.cut(PathMatch(EVERYONE, WEB))
            assert await status(me) is None
            await cut.undo()
            assert cut.exposure().connects_blocked > 0
            await asyncio.sleep(0.1)
            assert await status(me) == 200
            with pytest.raises(FaultFailed):
                await session.primitives.kill("web-1")

    with server_of_somebody(tmp_path) as port:
        node = replace(external.topology.nodes[0], external=f"127.0.0.1:{port}")
        LiveRuntime().run(
            RunSettings(with_node(node), 1, reference="tests.live.test_programs:external"), body
        )


async def nothing(_: Session) -> None: ...


@pytest.mark.live
@pytest.mark.parametrize(
    ("address", "reason"), [("127.0.0.1:1", "nothing answers"), ("192.0.2.1:80", "not on loopback")]
)
def test_what_does_not_answer_or_is_elsewhere_is_refused(address: str, reason: str) -> None:
    node = replace(external.topology.nodes[0], external=address)
    with pytest.raises(NotReady, match=reason):
        LiveRuntime().run(
            RunSettings(with_node(node), 1, reference="tests.live.test_programs:external"), nothing
        )


EXPERIMENT = """
experiment: down
title: The web stays up
system: tests.live.test_programs:{system}
load:
  users: {{arrive: 4/s, for: 8s, mix: all}}
timeline:
  - {{at: 2s, for: 1s, {fault}, target: {{role: web}}}}
gates:
  - {{rows: users, at_most: 0}}
"""


def refusals(tmp_path: Path, system: str, fault: str, options: LiveOptions | None) -> list[str]:
    file = tmp_path / "down.chaos.yaml"
    file.write_text(EXPERIMENT.format(system=system, fault=fault))
    with pytest.raises(ExperimentError) as raised:
        read_experiment(file, runtime=options) if options else read_experiment(file)
    return [one.found for one in raised.value.diagnostics if one.code == "unsupported"]


def test_virtual_time_refuses_a_node_without_a_service(tmp_path: Path) -> None:
    assert refusals(tmp_path, "program", "fault: crash", None) == [
        "nothing stands in for node 'web-1' in virtual time"
    ]
    with pytest.raises(NotReady):
        SimRuntime().run(RunSettings(program, 1), nothing)


def test_faults_inside_of_a_program_or_on_what_runs_already_are_refused(tmp_path: Path) -> None:
    live = LiveOptions()
    assert refusals(tmp_path, "program", "fault: http-delay, delay: 1s", live) == [
        "http-delay at 'web-1', which is a program"
    ]
    assert refusals(tmp_path, "program", "fault: crash", live) == []
    assert refusals(tmp_path, "external", "fault: crash", live) == ["crash at 'web-1', which runs already"]
    assert refusals(tmp_path, "external", "fault: partition", live) == []
