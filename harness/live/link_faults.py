"""`LinkFaults`: puts faults on links and takes them off; refuses and resets connections."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from itertools import count

from harness.faults.exposure import Exposure
from harness.faults.primitives import FaultFailed, LinkShape, PathMatch
from harness.live.kernel.requests import Lost
from harness.live.link_toxics import fault_toxics
from harness.live.links import LinkFault, ProxyLink
from harness.live.proxy_links import ProxyLinks
from harness.live.tasks import run_all
from harness.live.toxiproxy import Toxic


class LinkFaults:
    def __init__(self, links: ProxyLinks) -> None:
        self._links = links
        self._api = links.api
        self._controller = links.controller
        self._conditions = links.conditions
        self._numbers = count(1)

    async def add(self, match: PathMatch, shape: LinkShape | None) -> LinkFault:
        """Put a fault on all links that match, present and future. FaultFailed for what this network cannot do."""
        if problem := self._links.features.problem(shape):
            raise FaultFailed(problem)
        fault = LinkFault(next(self._numbers), match, shape)
        async with self._links.lock:
            self._conditions.faults[fault.number] = fault
            try:
                if self._controller is not None:
                    flows = [
                        each.flows[direction]
                        for each in self._links
                        for direction in each.link.directions(match)
                    ]
                    await self._controller.add_fault(fault.number, shape, flows)
                await run_all(self._api.add(name, toxic) for name, toxic in self._toxics(fault))
                await self._update_answers()
            except BaseException:
                await self._take_off(fault)
                raise
        return fault

    async def remove(self, fault: LinkFault) -> Lost | None:
        """Take a fault off. What the kernel has dropped for it; None when it drops nothing. Idempotent."""
        async with self._links.lock:
            return await self._take_off(fault) if fault.number in self._conditions.faults else None

    async def refuse(self, node: str, refused: bool) -> None:
        """Have connects to a node refused, or no longer."""
        async with self._links.lock:
            refusing = self._conditions.refusing
            if refused == (node in refusing):
                return
            (refusing.add if refused else refusing.discard)(node)
            try:
                await run_all(
                    # Data that the node's kernel has sent still arrives, and then the end of the connection.
                    self._api.enable(each.link.name, not refused, drain=refused)
                    for each in self._links
                    if each.link.target.name == node and not each.unanswered
                )
            except FaultFailed:
                if not refused:
                    refusing.add(node)  # so that it can be tried again
                raise

    async def reset(self, match: PathMatch) -> Exposure:
        """RST every open connection between the two sets, whichever side has opened it."""
        async with self._links.lock:
            names = [each.link.name for each in self._links if any(each.link.directions(match))]
            counts = await asyncio.gather(*(self._api.reset_connections(name) for name in names))
        return Exposure(connections=sum(counts), resets=sum(counts))

    async def _take_off(self, fault: LinkFault) -> Lost | None:
        del self._conditions.faults[fault.number]
        lost = None if self._controller is None else await self._controller.remove_fault(fault.number)
        await run_all(self._api.remove(name, toxic.name) for name, toxic in self._toxics(fault))
        await self._update_answers()
        return lost

    def _toxics(self, fault: LinkFault) -> Iterable[tuple[str, Toxic]]:
        """With the name of their proxy."""
        return [
            (each.link.name, toxic)
            for each in self._links
            for toxic in fault_toxics(each.link, fault, self._links.features)
        ]

    async def _update_answers(self) -> None:
        """Have every proxy answer connects, or leave them without an answer, as the conditions now are."""
        changed = [each for each in self._links if self._links.unanswered(each.link) != each.unanswered]
        await run_all(self._toggle_answers(each) for each in changed)

    async def _toggle_answers(self, each: ProxyLink) -> None:
        each.unanswered = not each.unanswered
        name, refused = each.link.name, self._conditions.refused(each.link)
        if each.unanswered:
            await self._api.accept(name, False)
            if refused:  # without an answer, the refusal is not seen
                await self._api.enable(name, True)
        else:
            if refused:
                await self._api.enable(name, False)
            await self._api.accept(name, True)
