"""Tests of any asyncio code in virtual time: `simulate`, and the `World` that a test sees.

from harness import simulate

@simulate(nodes={"server": serve}, seeds=50)
async def test_it_answers_through_a_slow_link(world):
    async with world.latency("test", "server", "200ms"):
        assert await ask("server") == 42
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, overload

import aiohttp

from harness.diagnostics import unknown_name
from harness.engine.targets import resolve
from harness.errors import HarnessError, UsageError
from harness.experiment.model import Target
from harness.faults.base import Fault
from harness.faults.catalogue import FAULTS
from harness.faults.exposure import Exposure
from harness.runtime.contract import RunSettings, Session
from harness.sim.runtime import SimRuntime
from harness.system import Access, Client, Event, Host, Node, Service, System, Topology, Workload, find_system

SEED_VARIABLE = "HARNESS_SEED"
"""The environment variable that names the one seed to run."""

TEST = "test"
"""The name, role and group of the client that a test is."""

MAX_TIMELINE = 30
"""Lines of the timeline of a test that fails."""

_ACCESS = Access(down_bps=1e9, up_bps=1e9, rtt_s=0.0002)
_LONG = "1000h"


class ServiceDefect(HarnessError, AssertionError):
    """A service, or a background task of it, ended with an error that no network causes. The test has failed."""


@dataclass(frozen=True, slots=True)
class _Moment:
    t_s: float
    what: str


class World:
    """What a test sees of its simulation. The test itself is a host on the network, by the name `test`.

    Its own code, and all that it starts, may use any asyncio library: names of nodes and roles are resolved, time is
    virtual.
    """

    def __init__(self, session: Session, host: Host, system: System, seed: int) -> None:
        self._session = session
        self._system = system
        self._faults = 0
        self._moments: list[_Moment] = []
        self.host = host
        """The host of the test (`harness.Host`)."""
        self.seed = seed
        """The seed of this run."""

    @property
    def now(self) -> float:
        """Seconds since the nodes were ready."""
        return self._session.clock.now()

    async def sleep(self, seconds: float) -> None:
        """Wait in virtual time, which costs nothing."""
        await self._session.clock.sleep(seconds)

    def http(self, dependency: str) -> aiohttp.ClientSession:
        """A client session for a role or a node."""
        return self.host.http(dependency)

    # ------------------------------------------------------------------ what was recorded

    def rows[T](self, table: type[T]) -> list[T]:
        """The rows of a table that were recorded so far, by their class."""
        return [record.row for record in self._session.records if isinstance(record.row, table)]

    def events(self, name: str | None = None) -> list[Event]:
        """The events that were emitted so far, or those of that name."""
        return [event for event in self.rows(Event) if name in (None, event.name)]

    # ------------------------------------------------------------------ faults

    def fault(
        self, name: str, target: str | Mapping[str, Any], **parameters: Any
    ) -> AbstractAsyncContextManager[InForce]:
        """Any fault of the catalogue, in force for the time of the block, in the words of experiment files.

            async with world.fault("latency", {"link": {"from": "api", "to": "catalog"}}, delay="3s"):

        `target`: a node or a role by its name, or what a file has. Raises UsageError, and pydantic's ValidationError
        for parameters that do not fit.
        """
        if name not in FAULTS:
            raise UsageError([unknown_name("fault", name, FAULTS)])
        return self._in_force(name, target, parameters)

    def latency(self, one: str, other: str, delay: str) -> AbstractAsyncContextManager[InForce]:
        """Traffic between two hosts or roles takes longer, each way."""
        return self.fault("latency", _between(one, other), delay=delay)

    def partition(self, one: str, other: str) -> AbstractAsyncContextManager[InForce]:
        """Nothing passes between two hosts or roles."""
        return self.fault("partition", _between(one, other))

    def loss(self, one: str, other: str, rate: str) -> AbstractAsyncContextManager[InForce]:
        """Packets between two hosts or roles are lost, such as "5%"."""
        return self.fault("loss", _between(one, other), rate=rate)

    def crash(self, target: str) -> AbstractAsyncContextManager[InForce]:
        """A node, or all of a role, is killed, and started again at the end of the block."""
        return self.fault("crash", target)

    def pause(self, target: str) -> AbstractAsyncContextManager[InForce]:
        """A node, or all of a role, stands still, and goes on at the end of the block."""
        return self.fault("pause", target)

    @asynccontextmanager
    async def _in_force(
        self, name: str, target: str | Mapping[str, Any], parameters: Mapping[str, Any]
    ) -> AsyncIterator[InForce]:
        kind = FAULTS[name]
        lasts = {} if kind.instant else {"for": _LONG}
        fault: Fault = kind.model_validate(
            {"at": "0s", **lasts, "fault": name, "target": self._target(target), **parameters}
        )
        stated = fault.target
        assert isinstance(stated, Target)
        self._faults += 1
        resolved = resolve(stated, self._system, self.seed, self._faults, nodes_only=kind.targets == "nodes")
        what = f"{name} of {', '.join(resolved.names)}"
        applied = await fault.apply(resolved, self._session.primitives)
        self._note(f"{what} begins")
        try:
            yield InForce(applied.exposure)
        finally:
            await applied.undo()
            self._note(f"{what} ends")

    def _target(self, target: str | Mapping[str, Any]) -> Mapping[str, Any]:
        if not isinstance(target, str):
            return {
                key: {end: self._end(value) for end, value in link.items()} if key == "link" else link
                for key, link in target.items()
            }
        return self._named(target)

    def _end(self, value: Any) -> Any:
        return self._named(value) if isinstance(value, str) else value

    def _named(self, name: str) -> Mapping[str, Any]:
        """A selector for a node, a role or the test by its name."""
        topology = self._system.topology
        if name in [node.name for node in topology.nodes]:
            return {"node": name}
        roles = [*topology.roles, *(workload.role for workload in self._system.workloads)]
        if name not in roles:
            raise UsageError(
                [unknown_name("node or role", name, [*(node.name for node in topology.nodes), *roles])]
            )
        return {"role": name}

    # ------------------------------------------------------------------ the timeline

    def _note(self, what: str) -> None:
        self._moments.append(_Moment(self.now, what))

    def timeline(self) -> list[str]:
        """What happened, a line each: faults, events, failures of services. The last ones where there are many."""
        moments = [*self._moments]
        for record in self._session.records:
            if isinstance(record.row, Event):
                fields = ", ".join(f"{key}={value}" for key, value in record.row.fields.items())
                moments.append(_Moment(record.t_s, f"{record.host}: {record.row.name} {fields}".rstrip()))
        moments += [_Moment(one.t_s, f"{one.host}: {one.error}") for one in self._session.failures]
        found = [f"{one.t_s:9.3f} s  {one.what}" for one in sorted(moments, key=lambda one: one.t_s)]
        left_out = len(found) - MAX_TIMELINE
        return found if left_out <= 0 else [f"({left_out} earlier lines)", *found[-MAX_TIMELINE:]]

    def _defects(self) -> list[str]:
        failures = [f"{one.host} at {one.t_s:.3f} s: {one.error}" for one in self._session.failures]
        broken = self._session.statistics().get("broken_since_s", {})
        return failures + [
            f"{error} (first at {since_s:.3f} s)" for error, since_s in broken.items() if since_s >= 0
        ]


@dataclass(frozen=True, slots=True)
class InForce:
    """A fault that is in force. `exposure()`: what it has affected so far."""

    exposure: Callable[[], Exposure]


def _between(one: str, other: str) -> dict[str, Any]:
    return {"link": {"from": one, "to": other}}


type Test = Callable[..., Awaitable[Any]]


@overload
def simulate[T](
    system: System | str,
    body: Callable[[Session], Awaitable[T]],
    *,
    seed: int = 1,
    without: Iterable[str] = (),
) -> T: ...


@overload
def simulate(
    system: System | str | None = None,
    body: None = None,
    *,
    nodes: Mapping[str, Service] | None = None,
    seeds: int | Sequence[int] = 1,
    without: Iterable[str] = (),
) -> Callable[[Test], Callable[..., None]]: ...


def simulate(
    system: System | str | None = None,
    body: Any = None,
    *,
    seed: int = 1,
    nodes: Mapping[str, Service] | None = None,
    seeds: int | Sequence[int] = 1,
    without: Iterable[str] = (),
) -> Any:
    """Run something in virtual time: `body`, or, as a decorator, an asynchronous test once for each seed.

    With `body`: start the system, await `body(session)` and return what it returns.

    As a decorator: `async def test(world)` becomes a test that pytest collects; other parameters are fixtures, as ever.
    `system`: a `System`, or its name. `nodes`: services by the names of their nodes, instead of those of the system, so
    that one service is tried with stubs for what it depends on, or without any system. `seeds`: how many, from 1 on, or
    which; where one fails, the others are not tried, and the error says how to run that one alone and what happened.
    A service that ends with an error that no network causes fails the test.

    `without`: safeguards that are switched off. Raises what the body raises, NotReady where a node does not come up,
    and UsageError for unknown safeguards.
    """
    found = find_system(system) if isinstance(system, str) else system
    off = frozenset(without)
    if body is not None:
        if found is None:
            raise UsageError(["simulate(system, body) needs a system"])
        return SimRuntime().run(RunSettings(found, seed, off), body)
    subject = _with_test_client(found, nodes)
    numbers = tuple(range(1, seeds + 1)) if isinstance(seeds, int) else tuple(seeds)

    def decorate(test: Test) -> Callable[..., None]:
        if not inspect.iscoroutinefunction(test):
            raise UsageError([f"@simulate needs an 'async def'; {test.__qualname__} is none"])
        signature = inspect.signature(test)
        if not signature.parameters:
            raise UsageError([f"{test.__qualname__} needs a first parameter, for the world"])
        _, *others = signature.parameters.values()

        @functools.wraps(test)
        def run(*arguments: Any, **keywords: Any) -> None:
            given = os.environ.get(SEED_VARIABLE)
            for number in numbers if given is None else (int(given),):
                _run_one(test, subject, number, off, arguments, keywords)

        run.__signature__ = signature.replace(parameters=others)  # type: ignore[attr-defined]
        del run.__wrapped__  # pytest would read the parameters of the test itself
        return run

    return decorate


def _run_one(
    test: Test,
    system: System,
    seed: int,
    without: frozenset[str],
    arguments: tuple[Any, ...],
    keywords: Mapping[str, Any],
) -> None:
    async def body(session: Session) -> None:
        zone = system.topology.zones[0]
        async with session.client(Client(TEST, zone, TEST, _ACCESS), TEST) as host:
            world = World(session, host, system, seed)
            try:
                await test(world, *arguments, **keywords)
                await session.settle()
                if defects := world._defects():
                    raise ServiceDefect("; ".join(defects))
            except asyncio.CancelledError:
                raise
            except BaseException as error:
                error.add_note(f"seed {seed}; to run it alone: {SEED_VARIABLE}={seed}")
                if lines := world.timeline():
                    error.add_note("\n".join(["timeline:", *lines]))
                raise

    SimRuntime().run(RunSettings(system, seed, without), body)


def _with_test_client(system: System | None, nodes: Mapping[str, Service] | None) -> System:
    """The system that a test runs: with the nodes that it names, and the test among its clients."""
    base = system or System("test", Topology(("local",), (), ()), (), {}, ())
    zones = base.topology.zones
    if nodes:
        known = {node.name: node for node in base.topology.nodes}
        roles = {node.role: node for node in base.topology.nodes}
        made = tuple(
            replace(known.get(name) or replace(roles[name], name=name), service=service)
            if name in known or name in roles
            else Node(name, name, zones[0], service)
            for name, service in nodes.items()
        )
        base = replace(base, topology=replace(base.topology, nodes=made))
    test = Workload(TEST, TEST, (TEST,), zones, {TEST: "the test"}, _make, _nothing)
    return replace(base, workloads=(*base.workloads, test))


def _make(rng: random.Random, mix: str, index: int) -> Client:
    raise HarnessError("the test is the only client of its simulation")


async def _nothing(_: Host) -> None: ...
