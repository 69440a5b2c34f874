"""`ControlServer` over a session that stands in for a live one; nothing is started."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest

from harness.cli.commands.fault import describe_status
from harness.engine.single_fault import SingleFaults
from harness.faults.exposure import Exposure
from harness.live.interactive.control_server import ControlServer
from harness.live.interactive.protocol import (
    CODEC,
    AddFault,
    Answer,
    FaultStatus,
    ListFaults,
    Refusal,
    RemoveFault,
)
from harness.live.options import LiveOptions
from harness.runtime.messages import HEADER_BYTES, Channel, SocketChannel
from tests.support.fake_primitives import FakePrimitives
from tests.support.toy_system import system

CRASH = AddFault(fault="fault: crash, target: {node: gateway-east}, for: 60s")
FOR_EVER = AddFault(fault="fault: pause, target: {node: gateway-east}")


class Clock:
    def now(self) -> float:
        return 1.0


class Session:
    """As much of one as the server needs."""

    def __init__(self, primitives: FakePrimitives) -> None:
        self.primitives = primitives
        self.clock = Clock()


def serve(
    primitives: FakePrimitives,
    body: Callable[[ControlServer], Awaitable[None]],
    hear: Callable[[FaultStatus], None] = lambda status: None,
) -> list[FaultStatus]:
    """What was reported while `body` used a server."""
    reported: list[FaultStatus] = []

    def report(status: FaultStatus) -> None:
        reported.append(status)
        hear(status)

    async def run() -> None:
        faults = SingleFaults(system, 1, LiveOptions().capabilities())
        async with asyncio.TaskGroup() as tasks:
            server = ControlServer(Session(primitives), faults.make, report, tasks)  # type: ignore[arg-type]
            try:
                await body(server)
            finally:
                await server.remove_all()

    asyncio.run(run())
    return reported


def frame(batch: bytes) -> bytes:
    return len(batch).to_bytes(HEADER_BYTES) + batch


async def changed(server: ControlServer, request: AddFault | RemoveFault) -> FaultStatus:
    answer = await server.answer(request)
    assert isinstance(answer, Answer)
    (status,) = answer.faults
    return status


async def listed(server: ControlServer) -> tuple[FaultStatus, ...]:
    answer = await server.answer(ListFaults())
    assert isinstance(answer, Answer)
    return answer.faults


def test_a_fault_is_applied_listed_and_removed() -> None:
    primitives = FakePrimitives()

    async def body(server: ControlServer) -> None:
        status = await changed(server, CRASH)
        assert (status.number, status.fault, status.targets) == (1, "crash", ("gateway-east",))
        assert (status.state, status.left_s, status.error) == ("applied", 60, None)
        assert (await changed(server, FOR_EVER)).left_s is None
        assert [one.number for one in await listed(server)] == [1, 2]
        assert (await changed(server, RemoveFault(number=1))).state == "removed"
        assert [one.number for one in await listed(server)] == [2]
        assert isinstance(await server.answer(RemoveFault(number=1)), Refusal)

    reported = serve(primitives, body)
    assert [(one.number, one.state) for one in reported] == [
        (1, "applied"),
        (2, "applied"),
        (1, "removed"),
        (2, "removed"),
    ]
    assert primitives.in_force == []


def test_a_fault_ends_by_itself() -> None:
    removed = asyncio.Event()

    async def body(server: ControlServer) -> None:
        await changed(server, AddFault(fault=CRASH.fault.replace("60s", "1ms")))
        await removed.wait()
        assert await listed(server) == ()

    reported = serve(
        FakePrimitives(), body, lambda status: removed.set() if status.state == "removed" else None
    )
    assert [one.state for one in reported] == ["applied", "removed"]


def test_what_happens_in_an_instant_is_done_at_once() -> None:
    async def body(server: ControlServer) -> None:
        reset = AddFault(fault="fault: reset, target: {link: {from: shopper, to: gateway}}")
        assert (await changed(server, reset)).state == "done"
        assert await listed(server) == ()

    serve(FakePrimitives(), body)


def test_what_is_refused_uses_no_number_up() -> None:
    async def body(server: ControlServer) -> None:
        assert isinstance(await server.answer(AddFault(fault="fault: crsh")), Refusal)
        for nonsense in (b"nonsense", frame(b'[{"kind": "Explode"}]'), frame(b"{}")):
            own, theirs = socket.socketpair()
            own.sendall(nonsense)
            await server.serve(await Channel.open(CODEC, theirs))
            assert isinstance(SocketChannel(CODEC, own).receive(), Refusal)
            own.close()
        assert (await changed(server, CRASH)).number == 1

    serve(FakePrimitives(), body)


def test_a_fault_that_cannot_be_removed_stays_listed_and_can_be_tried_again() -> None:
    stuck = True
    primitives = FakePrimitives(touched=Exposure(connections=3), stuck=lambda what: stuck)

    async def body(server: ControlServer) -> None:
        nonlocal stuck
        await changed(server, CRASH)
        refused = await server.answer(RemoveFault(number=1))
        assert isinstance(refused, Refusal)
        assert not refused.usage
        (status,) = await listed(server)
        assert status.error == refused.problems[0]
        assert status.exposure.connections == 3
        stuck = False
        primitives.applied[0].fails = False
        assert (await changed(server, RemoveFault(number=1))).state == "removed"

    reported = serve(primitives, body)
    assert [one.error is not None for one in reported] == [False, True, True]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, "1: latency (delay 400 ms) on a > b, 30 s left"),
        ({"left_s": None}, "1: latency (delay 400 ms) on a > b, until it is removed"),
        ({"state": "removed"}, "1 removed: latency; affected 2 connections"),
        ({"state": "done"}, "done: latency (delay 400 ms) on a > b; affected 2 connections"),
        (
            {"error": "HTTP 500"},
            "1: latency (delay 400 ms) on a > b, STILL APPLIED, at least in part: HTTP 500; "
            "try again: harness fault remove 1",
        ),
    ],
)
def test_the_line_of_a_fault(changes: dict[str, object], line: str) -> None:
    status = FaultStatus(
        number=1,
        fault="latency",
        parameters={"direction": "both", "delay": 0.4, "jitter": 0.0},
        targets=("a > b",),
        state="applied",
        left_s=30,
        exposure=Exposure(connections=2),
    )
    assert describe_status(status.model_copy(update=changes)) == line
