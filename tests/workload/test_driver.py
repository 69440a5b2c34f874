"""Driving clients, on a stage that has a clock and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from harness.diagnostics import Code
from harness.errors import InvalidInput
from harness.experiment.load import Load
from harness.sim.loop import SimLoop
from harness.system import Access, Client, Host, System, Topology, Workload
from harness.workload.driver import LEAVE_S, Driver, LoadResult
from harness.workload.records import ClientRecord
from harness.workload.schedule import arrival_times
from tests.workload.shapes import constant

ACCESS = Access(1e6, 1e6, 0.01)


class Stage:
    """Notes who came and who left, and when."""

    def __init__(self, loop: SimLoop) -> None:
        self.clock = _Clock(loop)
        self.came: list[tuple[float, str, str]] = []
        self.went: list[tuple[float, str]] = []

    @asynccontextmanager
    async def client(self, client: Client, role: str) -> AsyncIterator[Any]:
        self.came.append((self.clock.now(), client.name, role))
        try:
            yield client
        finally:
            self.went.append((self.clock.now(), client.name))


class _Clock:
    def __init__(self, loop: SimLoop) -> None:
        self._loop = loop

    def now(self) -> float:
        return self._loop.time()

    def wall(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def make(rng: random.Random, mix: str, index: int) -> Client:
    return Client(f"{mix}-{index}", "here", "any", ACCESS, {"drawn": rng.random()})


def system(*lives: Callable[[Any], Awaitable[None]]) -> System:
    workloads = tuple(
        Workload(life.__name__, "guest", ("any",), ("here",), {"all": "", "some": ""}, make, life)
        for life in lives
    )
    return System("staged", Topology(("here",), (), ()), (), {}, workloads)


def loads(*names: str, arrive: str = "1/s", for_: str = "20s", mix: str = "all") -> dict[str, Load]:
    return {name: Load.model_validate({"arrive": arrive, "for": for_, "mix": mix}) for name in names}


def drive(
    world: System, which: dict[str, Load], *, seed: int = 1, drain_s: float = 10, starts_s: float = 0
) -> tuple[LoadResult, Stage]:
    loop = SimLoop()
    stage = Stage(loop)

    async def main() -> LoadResult:
        await stage.clock.sleep(starts_s)
        return await Driver(stage, world, which, seed=seed, drain_s=drain_s).run()

    return loop.run(main()), stage


async def short(_: Host) -> None:
    await asyncio.sleep(2)


def test_one_workload_arrives_under_several_names() -> None:
    both = {
        "short": Load.model_validate({"arrive": "1/s", "for": "20s", "mix": "all"}),
        "surge": Load.model_validate(
            {
                "workload": "short",
                "arrive": [{"at": "0/s", "for": "10s"}, {"at": "5/s", "for": "4s"}],
                "mix": "some",
            }
        ),
    }
    alone, _ = drive(system(short), loads("short"))
    driven, stage = drive(system(short), both)
    names = [name for _, name, _ in stage.came]
    assert len(set(names)) == len(names) == driven.arrived
    surge = [at_s for at_s, name, _ in stage.came if name.startswith("surge-some-")]
    assert len(surge) == driven.arrived - alone.arrived > 5
    assert all(10 <= at_s < 14 for at_s in surge)


async def endless(_: Host) -> None:
    await asyncio.Event().wait()


def test_clients_come_at_their_times_and_leave_by_themselves() -> None:
    driven, stage = drive(system(short), loads("short"), starts_s=3)
    times = [3 + at_s for at_s in arrival_times(1, "short", constant(1, 20))]
    assert [came[0] for came in stage.came] == pytest.approx(times)
    assert [went[0] for went in stage.went] == pytest.approx([time_s + 2 for time_s in times])
    assert stage.came[0][1:] == ("all-0", "guest")
    assert driven == LoadResult(len(times), len(times), 0, ())


def test_arrivals_do_not_wait_for_anybody() -> None:
    driven, stage = drive(system(endless), loads("endless"))
    assert driven.arrived == driven.cancelled == len(list(arrival_times(1, "endless", constant(1, 20))))
    assert driven.left == 0
    assert {went[0] for went in stage.went} == {30.0}


def test_what_others_do_moves_no_arrival_and_no_draw() -> None:
    drawn: dict[str, list[tuple[float, float]]] = {}

    def noted(name: str) -> Callable[[Any], Awaitable[None]]:
        async def life(client: Any) -> None:
            drawn.setdefault(name, []).append((asyncio.get_running_loop().time(), client.params["drawn"]))

        life.__name__ = name
        return life

    # Names of clients would meet, so each load has its own mix.
    both = {**loads("one"), **loads("two", arrive="7/s", mix="some")}
    drive(system(noted("one"), noted("two")), both)
    together, drawn = drawn, {}
    drive(system(noted("one")), loads("one"))
    assert drawn["one"] == together["one"]
    assert len({draw for _, draw in drawn["one"]}) == len(drawn["one"])


def test_a_client_that_raises_is_reported_and_the_others_go_on() -> None:
    async def fragile(client: Any) -> None:
        await asyncio.sleep(1)
        if client.name == "all-3":
            raise LookupError("no such film")

    driven, _ = drive(system(fragile), loads("fragile"))
    assert driven.arrived == driven.left > 10
    (failure,) = driven.failures
    assert failure.client == "all-3"
    assert failure.error.startswith("LookupError: no such film (")
    assert failure.error.endswith(", in fragile)")
    assert failure.t_s == pytest.approx(list(arrival_times(1, "fragile", constant(1, 20)))[3] + 1)


def test_a_client_may_say_goodbye_when_asked_to_leave() -> None:
    said: list[float] = []

    async def polite(_: Any) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(1)
            said.append(asyncio.get_running_loop().time())

    driven, stage = drive(system(polite), loads("polite"))
    assert said == [31.0] * driven.cancelled
    assert not driven.failures
    assert len(stage.went) == driven.arrived


def test_one_that_does_not_leave_is_a_failure() -> None:
    async def clings(client: Any) -> None:
        while asyncio.get_running_loop().time() < 30 + LEAVE_S + 5:
            try:
                await asyncio.sleep(1)
            except asyncio.CancelledError:
                if client.name != "all-0":
                    raise

    driven, _ = drive(system(clings), loads("clings"))
    (failure,) = driven.failures
    assert failure.client == "all-0"
    assert "did not end within 30 s" in failure.error


def clients_of(*lives: Callable[[Any], Awaitable[None]], for_: str = "5s") -> list[ClientRecord]:
    """The clients that a driver records, one workload a life."""
    loop = SimLoop()
    which = loads(*(life.__name__ for life in lives), for_=for_)

    async def main() -> Sequence[ClientRecord]:
        driver = Driver(Stage(loop), system(*lives), which, seed=1, drain_s=10)
        await driver.run()
        assert len(driver.clients) == driver.arrived
        return driver.clients

    return list(loop.run(main()))


async def cancels_itself(_: Any) -> None:
    await asyncio.sleep(1)
    raise asyncio.CancelledError


async def awaits_a_cancelled_task(_: Any) -> None:
    task = asyncio.create_task(asyncio.sleep(5))
    task.cancel()
    await task


async def cancels_its_task(_: Any) -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(1)


@pytest.mark.parametrize("life", [cancels_itself, awaits_a_cancelled_task, cancels_its_task])
def test_a_client_that_nobody_cancelled_and_that_ends_so_has_failed(life: Callable[[Any], Any]) -> None:
    clients = clients_of(life)
    assert clients
    assert {client.outcome for client in clients} == {"failed"}
    assert all("CancelledError" in str(client.error) for client in clients)
    driven, _ = drive(system(life), loads(life.__name__))
    assert [failure.client for failure in driven.failures] == [f"all-{n}" for n in range(driven.arrived)]


async def clings_for_ever(_: Any) -> None:
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(1000)


async def raises(_: Any) -> None:
    raise LookupError("no such film")


@pytest.mark.parametrize(
    ("life", "outcome", "lasts_s"),
    [
        (short, "left", 2.0),
        (raises, "failed", 0.0),
        (endless, "cancelled", None),
        (clings_for_ever, "unended", None),
    ],
)
def test_every_client_that_arrives_is_recorded(
    life: Callable[[Any], Awaitable[None]], outcome: str, lasts_s: float | None
) -> None:
    clients = clients_of(life)
    assert [client.arrived_s for client in clients] == pytest.approx(
        list(arrival_times(1, life.__name__, constant(1, 5)))
    )
    assert {(client.workload, client.group, client.outcome) for client in clients} == {
        (life.__name__, "any", outcome)
    }
    for client in clients:
        if outcome == "unended":
            assert client.ended_s is None
        else:
            assert client.ended_s == pytest.approx(15.0 if lasts_s is None else client.arrived_s + lasts_s)


def test_two_clients_of_one_name_are_two_clients() -> None:
    def same(rng: random.Random, mix: str, index: int) -> Client:
        return replace(make(rng, mix, index), name="guest")

    world = system(short)
    world = replace(world, workloads=(replace(world.workloads[0], make=same),))
    driven, stage = drive(world, loads("short"))
    assert len(stage.came) == 1
    assert len(driven.failures) == driven.arrived - 1


def test_interrupting_the_drive_sends_all_away() -> None:
    loop = SimLoop()
    stage = Stage(loop)

    async def main() -> None:
        driver = Driver(stage, system(endless), loads("endless"), seed=1, drain_s=10)
        running = asyncio.ensure_future(driver.run())
        await asyncio.sleep(10)
        assert driver.active == driver.arrived == len(stage.came) > 3
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert driver.active == 0
        assert driver.arrived == len(stage.went) == len(stage.came)
        assert stage.clock.now() == 10

    loop.run(main())


def test_every_load_that_cannot_be_is_named() -> None:
    wrong = {
        **loads("shortt"),
        **loads("short", mix="most"),
        "endless": Load.model_construct(arrive=0.0, for_=10.0, mix="all"),
    }
    with pytest.raises(InvalidInput) as caught:
        drive(system(short, endless), wrong)
    found = {(one.code, one.found) for one in caught.value.diagnostics}
    assert found == {
        (Code.UNKNOWN_NAME, "unknown workload 'shortt'"),
        (Code.UNKNOWN_NAME, "unknown mix 'most' in workload short"),
        (Code.OUT_OF_RANGE, "load endless starts no clients"),
    }
