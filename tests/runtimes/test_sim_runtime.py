"""The whole toy system in virtual time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from harness.runtimes.base import RunSettings, Session
from harness.runtimes.sim.runtime import SimRuntime
from harness.spec.model import Load
from harness.workload.drive import Driven, Driver
from tests.support.toy_system import Visit, system


def run[T](
    body: Callable[[Session], Awaitable[T]], *, seed: int = 7, without: frozenset[str] = frozenset()
) -> T:
    return SimRuntime().run(RunSettings(system, seed, without), body)


def load(rate: str = "2/s", for_: str = "20s") -> dict[str, Load]:
    return {"shoppers": Load.model_validate({"arrive": rate, "for": for_, "mix": "all"})}


def test_all_shoppers_are_served() -> None:
    async def body(session: Session) -> tuple[Driven, list[Visit]]:
        driven = await Driver(session, system, load(), seed=7, drain_s=30).run()
        assert not session.failures
        assert session.statistics()["unhandled_errors"] == {}
        return driven, [record.row for record in session.records if isinstance(record.row, Visit)]

    driven, visits = run(body)
    assert driven.arrived == driven.left > 20
    assert len(visits) == driven.arrived * 10
    assert all(visit.ok and visit.source == "backend" for visit in visits)


def test_an_unknown_safeguard_is_refused() -> None:
    async def body(session: Session) -> None:
        raise AssertionError("never started")

    with pytest.raises(ValueError, match=r"gateway\.retri.*gateway\.retry"):
        run(body, without=frozenset({"gateway.retri"}))
