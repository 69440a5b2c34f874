"""The changes that the controller requests of the kernel, without a kernel."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from harness.faults.primitives import LinkShape
from harness.live.kernel.controller import MAX_BPS, Controller
from harness.live.kernel.network import KernelNetwork
from harness.live.kernel.requests import Change, Flow, Lost
from harness.live.kernel.ruleset import DOWN, UP
from harness.live.links import SharedLimit


class Kernel:
    """Records the changes, and answers as if it had lost something."""

    def __init__(self) -> None:
        self.changes: list[Change] = []

    async def change(self, change: Change) -> dict[int, Lost]:
        self.changes.append(change)
        return {number: Lost(1, 1500, 1, 0, 1) for number in change.count}

    @property
    def last(self) -> Change:
        return self.changes[-1]


@pytest.fixture
def kernel() -> Kernel:
    return Kernel()


@pytest.fixture
def controller(kernel: Kernel) -> Controller:
    return Controller(cast(KernelNetwork, kernel))


HOME = SharedLimit("access", ("a", "down"), 16e6)


def flow(port: int, direction: str = DOWN, src: str = "store", dst: str = "a", *limits: SharedLimit) -> Flow:
    return Flow(port, direction, src, dst, limits)


def test_flows_of_one_limit_share_a_queue_that_goes_with_the_last(
    controller: Controller, kernel: Kernel
) -> None:
    async def body() -> None:
        await controller.add_flows({flow(1000, DOWN, "store", "a", HOME): []})
        (first,) = kernel.last.limits
        assert (kernel.last.limiters, first.rate_bps) == ((0,), 16e6)
        await controller.add_flows({flow(1001, DOWN, "edge", "a", HOME): []})
        assert kernel.last.limits == ()
        assert f"1001 : 1:{first.minor:x}" in kernel.last.nft
        await controller.remove_flows([1000])
        assert kernel.last.unlimits == ()
        await controller.remove_flows([1001])
        assert kernel.last.unlimits == ((0, first.minor),)
        await controller.add_flows({flow(1002, DOWN, "edge", "a", HOME): []})
        assert kernel.last.limits == (first,)

    asyncio.run(body())


def test_what_is_faster_than_any_machine_is_not_limited(controller: Controller, kernel: Kernel) -> None:
    asyncio.run(
        controller.add_flows({flow(1000, DOWN, "store", "a", SharedLimit("access", "a", MAX_BPS)): []})
    )
    assert kernel.changes == []


@pytest.mark.parametrize(("shared", "queues"), [(False, 2), (True, 1)])
def test_a_rate_is_for_each_pair_or_for_all(
    controller: Controller, kernel: Kernel, shared: bool, queues: int
) -> None:
    """A pair is two hosts, one way, whoever of them has opened the connection."""
    flows = [
        flow(1000, DOWN, "store", "a"),
        flow(1001, UP, "store", "a"),
        flow(1002, DOWN, "store", "b"),
    ]

    async def body() -> None:
        await controller.add_flows({each: [] for each in flows})
        await controller.add_fault(1, LinkShape(bandwidth_bps=1e6, shared=shared), flows)
        assert len(kernel.last.limits) == queues
        assert await controller.remove_fault(1) is None
        assert len(kernel.last.unlimits) == queues
        # The next fault gets the same limiter.
        await controller.add_fault(2, LinkShape(bandwidth_bps=2e6), flows)
        assert kernel.last.limiters == ()
        assert {limit.limiter for limit in kernel.last.limits} == {0}

    asyncio.run(body())


def test_two_faults_at_a_time_are_two_limiters(controller: Controller, kernel: Kernel) -> None:
    async def body() -> None:
        await controller.add_fault(1, LinkShape(bandwidth_bps=1e6), [flow(1000)])
        await controller.add_fault(2, LinkShape(bandwidth_bps=2e6), [flow(1000)])
        assert [change.limiters for change in kernel.changes] == [(0,), (1,)]

    asyncio.run(body())


def test_a_new_flow_is_under_the_faults_in_force(controller: Controller, kernel: Kernel) -> None:
    async def body() -> None:
        await controller.add_fault(1, None, [])
        await controller.add_flows({flow(1000): [1], flow(1000, UP, "a", "store"): []})
        assert kernel.last.nft == "add element ip harness f1down { 1000 }\n"
        await controller.remove_flows([1000])
        assert kernel.last.nft == "delete element ip harness f1down { 1000 }\n"
        assert await controller.remove_fault(1) == Lost(1, 1500, 1, 0, 1)
        assert await controller.remove_fault(1) is None

    asyncio.run(body())
