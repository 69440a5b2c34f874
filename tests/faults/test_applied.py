"""Several primitives as one: all or none when applied, all of them when undone."""

from __future__ import annotations

import asyncio

import pytest

from harness.faults.exposure import Exposure
from harness.faults.primitives import FaultFailed, apply_all
from tests.support.fake_primitives import FakePrimitives


def test_exposure_is_the_sum_and_one_undo_undoes_all() -> None:
    async def body() -> None:
        primitives = FakePrimitives(touched=Exposure(connections=2, resets=1, bytes=5))
        applied = await apply_all(primitives.kill(node) for node in ("a", "b", "c"))
        assert applied.exposure() == Exposure(connections=6, resets=3, bytes=15)
        await applied.undo()
        assert primitives.in_force == []
        await applied.undo()
        assert [call for call in primitives.log if call[0] == "undo"] == [
            ("undo", "kill", node) for node in "abc"
        ]

    asyncio.run(body())


def test_when_one_cannot_be_applied_the_others_are_undone() -> None:
    async def body() -> None:
        primitives = FakePrimitives(refuse=lambda what: what == ("kill", "b"))
        with pytest.raises(FaultFailed, match="cannot do"):
            await apply_all([primitives.kill(node) for node in ("a", "b", "c")])
        assert primitives.log == [("kill", "a"), ("undo", "kill", "a")]

    asyncio.run(body())


def test_when_that_undo_fails_too_both_are_reported() -> None:
    async def body() -> None:
        primitives = FakePrimitives(refuse=lambda what: "b" in what, stuck=lambda what: "a" in what)
        with pytest.raises(FaultFailed, match=r"cannot do .*b.*; and undoing .* cannot undo .*a"):
            await apply_all(primitives.kill(node) for node in ("a", "b"))

    asyncio.run(body())


def test_one_that_cannot_be_undone_does_not_keep_the_others_in_force() -> None:
    async def body() -> None:
        primitives = FakePrimitives(stuck=lambda what: what[1] in ("a", "c"))
        applied = await apply_all(primitives.pause(node) for node in ("a", "b", "c"))
        with pytest.raises(FaultFailed, match=r"cannot undo .*a.*; cannot undo .*c"):
            await applied.undo()
        assert primitives.in_force == []

    asyncio.run(body())


def test_nothing_to_apply_to_is_a_failure_not_a_success() -> None:
    with pytest.raises(FaultFailed, match="no host"):
        asyncio.run(_of_nothing())


async def _of_nothing() -> None:
    await apply_all([])
