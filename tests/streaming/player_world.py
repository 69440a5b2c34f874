"""A scripted service for one viewer, in virtual time: two gateways, two edges, one storage appliance.

Every node answers as the real one does when all is well; a test replaces answers by its own, and breaks
nodes and links at given times of the session.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from harness.runtime.contract import RunSettings, Session
from harness.sim.runtime import SimRuntime
from harness.system import Access, Client, Event, Host, Link, Node, System, Topology
from systems.streaming import system as real
from systems.streaming.content.catalogue import LADDER, SEGMENT_S
from systems.streaming.player.viewer import watch
from systems.streaming.records import HeartbeatRow, RequestRow, SessionRow

type Script = Callable[[web.Request, Host], Awaitable[web.StreamResponse | None]]
"""Answers a request, or returns None to have it answered as usual."""

type Act = Callable[[Session], Awaitable[object]]
type Acts = Mapping[float, Act]

URLS = ["http://edge-a-1", "http://edge-a-2", "http://storage-1"]

FAST = Access(down_bps=50e6, up_bps=10e6, rtt_s=0.02)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a session left behind."""

    session: SessionRow | None
    requests: tuple[RequestRow, ...]
    events: tuple[Event, ...]
    connections: int
    heartbeats: tuple[HeartbeatRow, ...]

    def of(self, kind: str) -> list[RequestRow]:
        return [request for request in self.requests if request.kind == kind]

    def named(self, name: str) -> list[Event]:
        return [event for event in self.events if event.name == name]

    @property
    def row(self) -> SessionRow:
        assert self.session is not None
        return self.session


def manifest(**changed: Any) -> dict[str, Any]:
    whole = {
        "title": "title-000",
        "segment_s": SEGMENT_S,
        "segments": 100,
        "bitrates_kbps": list(LADDER),
        "urls": URLS,
        "ttl_s": 30,
    }
    return {**whole, **changed}


async def _gateway(request: web.Request) -> web.StreamResponse:
    answers = {
        ("POST", "/login"): {"token": "fresh", "expires_in_s": 1800},
        ("GET", "/home"): {"level": "personalised", "rows": []},
        ("POST", "/play"): manifest(),
        ("GET", "/steer"): {"urls": URLS, "ttl_s": 30},
    }
    return web.json_response(answers[request.method, request.path])


async def _appliance(request: web.Request, served_by: str) -> web.StreamResponse:
    rendition = int(request.path.split("/")[3])
    body = bytes(int(LADDER[rendition] * 1000 / 8 * SEGMENT_S))
    return web.Response(body=body, headers={"X-Served-By": served_by, "X-Cache": "hit"})


def _node(name: str, zone: str, script: Script | None) -> Node:
    async def service(host: Host) -> None:
        async def answer(request: web.Request) -> web.StreamResponse:
            scripted = await script(request, host) if script is not None else None
            if scripted is not None:
                return scripted
            return await (_gateway(request) if host.role == "gateway" else _appliance(request, host.role))

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        await host.serve(app)

    return Node(name, name.partition("-")[0], zone, service)


def _system(scripts: Mapping[str, Script]) -> System:
    zones = {
        "gateway-east-1": "region-east",
        "gateway-west-1": "region-west",
        "edge-a-1": "isp-a",
        "edge-a-2": "isp-a",
        "storage-1": "ix",
    }
    return System(
        name="scripted",
        topology=Topology(
            zones=("isp-a", "ix", "region-east", "region-west"),
            nodes=tuple(_node(name, zone, scripts.get(name)) for name, zone in zones.items()),
            links=(
                Link("isp-a", "ix", rtt_s=0.005, bandwidth_bps=10e9),
                Link("ix", "region-east", rtt_s=0.02, bandwidth_bps=10e9),
                Link("ix", "region-west", rtt_s=0.03, bandwidth_bps=10e9),
            ),
        ),
        safeguards=real.SAFEGUARDS,
        tables={"sessions": SessionRow, "heartbeats": HeartbeatRow, "requests": RequestRow},
        workloads=(),
        events=real.EVENTS,
    )


def visit(
    *,
    watch_s: float = 20,
    token: str | None = "known",
    abr: str = "bola",
    access: Access = FAST,
    scripts: Mapping[str, Script] | None = None,
    acts: Acts | None = None,
    without: tuple[str, ...] = (),
    leave_at_s: float | None = None,
    seed: int = 1,
) -> Seen:
    """One viewer's visit. `acts`: what happens so many seconds after their arrival."""

    async def act(session: Session, at_s: float, what: Act) -> None:
        await session.clock.sleep(at_s)
        await what(session)

    async def body(session: Session) -> tuple[list[object], int]:
        params = {
            "account": "account-1",
            "token": token,
            "title": "title-000",
            "watch_s": watch_s,
            "home_region": "region-east",
            "abr": abr,
        }
        client = Client("viewer-0", "isp-a", "fibre", access, params)
        async with asyncio.TaskGroup() as group:
            acting = [group.create_task(act(session, at_s, what)) for at_s, what in (acts or {}).items()]
            async with session.client(client, "viewer") as host:
                task = group.create_task(watch(host))
                await asyncio.wait({task}, timeout=leave_at_s)
                task.cancel()
                await asyncio.wait({task})
            for each in acting:
                each.cancel()
        return [record.row for record in session.records], int(session.statistics()["connections"])

    rows, connections = SimRuntime().run(RunSettings(_system(scripts or {}), seed, frozenset(without)), body)
    sessions = [row for row in rows if isinstance(row, SessionRow)]
    assert len(sessions) <= 1
    return Seen(
        sessions[0] if sessions else None,
        tuple(row for row in rows if isinstance(row, RequestRow)),
        tuple(row for row in rows if isinstance(row, Event)),
        connections,
        tuple(row for row in rows if isinstance(row, HeartbeatRow)),
    )
