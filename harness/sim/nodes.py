"""A node of the topology in virtual time: its machine, its service, and the faults that stop it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from contextvars import Context
from typing import Any

from harness.faults.primitives import HostIdentity
from harness.runtime.charges import Charges
from harness.runtime.contract import NotReady
from harness.runtime.interference import Interference
from harness.runtime.primitives import Hold, Stop
from harness.runtime.processor import Processor
from harness.sim.determinism import Collector
from harness.sim.host import SimContext, SimHost
from harness.sim.network.machine import Machine
from harness.sim.virtual_functions import entropy
from harness.system import Node
from harness.system.streams import stream
from harness.text import describe_error

READY_S = 60.0
"""How long a node may take until it listens."""


class SimNode:
    """Faults may overlap: the node runs again when the last hold is released."""

    def __init__(self, context: SimContext, node: Node, collector: Collector) -> None:
        self._context = context
        self.node = node
        self.identity = HostIdentity(node.name, node.role, node.zone)
        self.machine: Machine = context.loop.network.add_machine(self.identity, names=(node.role,))
        self.machine.restarts_after_idle = node.restarts_after_idle
        self.machine.cores = node.cores
        interference = self.interference = Interference(collector.served)
        self.machine.skew_s = lambda: interference.skew_s(context.clock.now())
        self.machine.look_up = interference.look_up
        self._config: Mapping[str, Any] = node.config
        self.processor = Processor(
            self.identity,
            node.cores,
            context.loop,
            context.clock.now,
            lambda row: context.journal.emit(node.name, row, row.t_s),
        )
        self._charges = Charges(node.costs, self.processor, stream(context.seed, "costs", node.name))
        self._disk: dict[str, bytes] = {}
        self._incarnation = 0
        self._host: SimHost | None = None
        self._ready: asyncio.Future[None] | None = None
        self._stops: dict[Hold, Stop] = {}
        self._pauses: dict[Hold, None] = {}

    # ------------------------------------------------------------------ life

    def launch(self) -> None:
        """Start a new incarnation of the service. It has its own random stream; the disk is the old one."""
        context, name = self._context, self.node.name
        self._incarnation += 1
        number = self._incarnation
        ready = self._ready = context.loop.create_future()
        own_entropy = stream(context.seed, "entropy", name, number)
        rng: random.Random = stream(context.seed, "host", name, number)

        def set_ready() -> None:
            if not ready.done():
                ready.set_result(None)

        self.machine.on_listen = set_ready

        async def main() -> None:
            entropy.set(own_entropy)
            process = self.machine.process
            assert process is not None
            self._host = SimHost(
                context,
                process,
                config=self._config,
                rng=rng,
                disk=self._disk,
                processor=self.processor,
                charges=self._charges,
                interference=self.interference,
                ready=set_ready,
            )
            assert self.node.service is not None  # refused before
            await self.node.service(self._host)

        task = self.machine.start(main)
        task.add_done_callback(lambda done: self._ended(done, number), context=Context())

    def _ended(self, task: asyncio.Task[None], number: int) -> None:
        error = None if task.cancelled() else task.exception()
        if number != self._incarnation or not self.machine.alive:
            return  # killed: what a dead process raises means nothing
        if task.cancelled():
            why = "its service cancelled itself"
        elif error is not None:
            why = describe_error(error)
        else:
            why = "its service returned; a service runs until it is cancelled"
        self._context.journal.fail(self.node.name, why)
        # A process that ends closes its sockets, whoever ended it.
        self.machine.kill()
        self.processor.clear()
        if self._ready is not None and not self._ready.done():
            self._ready.set_exception(NotReady(why))

    async def until_ready(self, limit_s: float = READY_S) -> None:
        """Return when the service listens, or says that it is ready. NotReady when it does not."""
        assert self._ready is not None
        try:
            async with asyncio.timeout(limit_s):
                await asyncio.shield(self._ready)
        except TimeoutError:
            raise NotReady(
                f"it did not listen within {limit_s:g} s; a service without a port calls host.ready()"
            ) from None

    async def _discard_host(self) -> None:
        """The process is dead: free what its client sessions hold."""
        host, self._host = self._host, None
        self._pauses.clear()
        if self._ready is not None and not self._ready.done():
            self._ready.set_exception(NotReady("it was stopped before it listened"))
            self._ready.exception()
        if host is not None:
            await host.close()

    # ------------------------------------------------------------------ stopping and pausing

    async def stop(self, hold: Hold, how: Stop) -> None:
        """Kill the process, or cut the power, and keep it so until `unstop(hold)`."""
        self._stops[hold] = how
        if how == "kill":
            self.machine.kill()
        else:
            self.machine.power_off()
        self.processor.clear()
        self.processor.resume()
        await self._discard_host()

    async def unstop(self, hold: Hold) -> None:
        """Release a hold; after the last one, start the service and wait until it is ready."""
        if self._stops.pop(hold, None) is None:
            return
        if not self._stops:
            await self.start()
        elif "power_off" not in self._stops.values():
            self.machine.power_on()

    async def start(self) -> None:
        """Release all holds, start the service unless it runs, and wait until it is ready."""
        self._stops.clear()
        if not self.machine.alive:
            self.launch()
        await self.until_ready()

    async def deploy(self, hold: Hold, config: Mapping[str, Any]) -> None:
        """Kill the process; what is started next has these keys in its config."""
        self._config = {**self._config, **config}
        await self.stop(hold, "kill")

    def pause(self, hold: Hold) -> None:
        """Stop the process (SIGSTOP) until `unpause(hold)`; nothing to do when it is down."""
        if self.machine.alive:
            self._pauses[hold] = None
            self.machine.pause()
            self.processor.pause()

    def unpause(self, hold: Hold) -> None:
        if hold in self._pauses:
            del self._pauses[hold]
            if not self._pauses:
                self.machine.resume()
                self.processor.resume()

    async def end(self) -> None:
        """The end of the run."""
        self.machine.kill()
        await self._discard_host()
