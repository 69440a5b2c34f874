"""Tiny systems for the tests of the virtual-time runtime."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from harness.runtime.contract import Recorded, RunSettings, ServiceFailure, Session
from harness.sim.runtime import SimRuntime
from harness.system import Access, Client, Host, Link, Node, Safeguard, Service, System, Topology


@dataclass(frozen=True, slots=True)
class Seen:
    """The one table: something that was seen."""

    t_s: float
    what: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is left of a run when it is over."""

    records: tuple[Recorded, ...]
    failures: tuple[ServiceFailure, ...]
    statistics: Mapping[str, Any]

    @property
    def seen(self) -> list[str]:
        return [record.row.what for record in self.records if isinstance(record.row, Seen)]

    @property
    def digest(self) -> str:
        return hashlib.sha256(repr((self.records, self.failures, self.statistics)).encode()).hexdigest()


ACCESS = Access(down_bps=100e6, up_bps=100e6, rtt_s=0.02)

CLIENT = Client("caller", "here", "any", ACCESS)


async def hello(host: Host) -> None:
    """Answers /, after 10 ms, with its name."""

    async def answer(_: web.Request) -> web.Response:
        await host.clock.sleep(0.01)
        return web.Response(text=host.name)

    await host.serve(application(answer))


def application(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> web.Application:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    return app


def make_system(services: Mapping[str, Service] | None = None, **configs: Mapping[str, Any]) -> System:
    """Nodes in zone `here`; the role of `name-2` is `name`."""
    return System(
        name="tiny",
        topology=Topology(
            zones=("here", "there"),
            nodes=tuple(
                Node(name, name.partition("-")[0], "here", service, configs.get(name, {}))
                for name, service in (services or {"hello": hello}).items()
            ),
            links=(Link("here", "there", rtt_s=0.05, bandwidth_bps=1e9),),
        ),
        safeguards=(Safeguard("belt", "trousers"), Safeguard("braces", "trousers")),
        tables={"seen": Seen},
        workloads=(),
        events={"known": "declared"},
    )


def run[T](
    system: System,
    body: Callable[[Session], Awaitable[T]],
    *,
    seed: int = 1,
    without: frozenset[str] = frozenset(),
) -> T:
    return SimRuntime().run(RunSettings(system, seed, without), body)


def call(
    life: Callable[[Host], Awaitable[None]],
    services: Mapping[str, Service] | None = None,
    *,
    seed: int = 1,
) -> Outcome:
    """Run one client's life against the services."""

    async def body(session: Session) -> Outcome:
        async with session.client(CLIENT, "caller") as host:
            await life(host)
        return Outcome(tuple(session.records), tuple(session.failures), session.statistics())

    return run(make_system(services), body, seed=seed)


def saw(host: Host, what: object) -> None:
    host.emit(Seen(host.clock.now(), str(what)))
