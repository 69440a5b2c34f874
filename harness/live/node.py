"""What a process of a node runs: its service, its host, and its end of the channel to the harness."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from pathlib import Path
from typing import Any

from harness.faults.primitives import ClockRule, HostIdentity
from harness.live import messages
from harness.live.host import DirectoryDisk, LiveClock, LiveHost
from harness.live.programs import run_program
from harness.live.remote import RemoteContext
from harness.live.tasks import background
from harness.runtime.charges import Charges
from harness.runtime.interference import Interference, Interferer
from harness.runtime.messages import Channel
from harness.runtime.processor import Limit, Processor
from harness.system import System
from harness.system.processor import ProcessorSlice
from harness.system.streams import stream
from harness.text import describe_error

COUNTS_EVERY_S = 0.2
"""How often changed counts are sent."""


async def run_node(
    system: System, run: messages.RunInfo, launch: messages.Launch, sock: socket.socket
) -> None:
    """Run the node's service until the process is killed, or the harness has ended."""
    channel = await Channel.open(messages.NODE, sock)
    node = _Node(system, run, launch, channel)
    node.report_errors()
    async with background(node.send_counts_regularly()):
        service = asyncio.create_task(node.serve())
        receiving = asyncio.create_task(node.receive())
        # When the channel closes, the harness has ended and this process is not needed.
        await asyncio.wait({service, receiving}, return_when=asyncio.FIRST_COMPLETED)
    if receiving.done():
        receiving.result()
    else:
        await channel.aclose()


class _Node(RemoteContext):
    """One process of a node."""

    def __init__(
        self,
        system: System,
        run: messages.RunInfo,
        launch: messages.Launch,
        channel: Channel,
    ) -> None:
        super().__init__(launch.node, system, run.safeguards, LiveClock(run.origin_s), channel.send)
        self._seed = run.seed
        self._launch = launch
        self._channel = channel
        node = self._node = system.topology.node(launch.node)
        self._sent = messages.Counts()
        self._interference = Interference(self._served)
        self._interferers: dict[int, Interferer[Any]] = {}
        identity = HostIdentity(node.name, node.role, node.zone)
        loop = asyncio.get_running_loop()
        self._processor = Processor(identity, node.cores, loop, self.clock.now, self._emit_slice)
        self._work_limit: Limit | None = None
        self._lost_work_s = 0.0
        self._skews_time = False
        self._host = LiveHost(
            self,
            identity,
            config={**node.config, **launch.config},
            rng=stream(run.seed, "host", node.name, launch.incarnation),
            disk=DirectoryDisk(Path(run.directory) / "disks" / node.name),
            router=self.router(node.name),
            address=launch.address,
            processor=self._processor,
            charges=Charges(
                node.costs, self._processor, stream(run.seed, "costs", node.name, launch.incarnation)
            ),
            interference=self._interference,
            ready=lambda port: self.send(messages.Ready(port)),
        )

    def _emit_slice(self, row: ProcessorSlice) -> None:
        self.emit(self.name, row, row.t_s)

    async def serve(self) -> None:
        self._host.use_names(self._launch.addresses)
        try:
            await self._run()
        except asyncio.CancelledError:
            reason = "its service cancelled itself"
        except Exception as error:
            reason = describe_error(error)
            logging.getLogger(__name__).exception("the service of %s ended", self._node.name)
        else:
            reason = "its service returned; a service runs until it is cancelled"
        self.send(messages.Ended(reason))

    async def _run(self) -> None:
        if self._node.command:
            await run_program(self._host, self._node, self._launch.address, self._launch.port)
        elif self._node.service is not None:
            await self._node.service(self._host)

    async def receive(self) -> None:
        async for message in self._channel:
            match message:
                case messages.Route():
                    self.set_route(message)
                case messages.Interfere(number, rule, names):
                    interferer = Interferer(rule, stream(self._seed, *names), self.clock.now())
                    self._interferers[number] = interferer
                    self._interference.add(interferer)
                    if isinstance(rule, ClockRule):
                        self._skew_time()
                case messages.StopInterfering(number):
                    if number in self._interferers:
                        self._interference.remove(self._interferers[number])
                case messages.LimitWork(cores):
                    self._limit_work(cores)
                case messages.Flush(number):
                    self._send_counts()
                    self.report_dead_tasks()
                    self.send(messages.Flushed(number))

    def _skew_time(self) -> None:
        """Skew `time.time` of this process, too, as `Host.clock.wall` is. Once: without rules it is right."""
        if self._skews_time:
            return
        self._skews_time, real_ns = True, time.time_ns

        def time_ns() -> int:
            return real_ns() + round(self._interference.skew_s(self.clock.now()) * 1e9)

        setattr(time, "time_ns", time_ns)  # noqa: B010 - not a method for the type checker
        setattr(time, "time", lambda: time_ns() / 1e9)  # noqa: B010

    def _limit_work(self, cores: float | None) -> None:
        if self._work_limit is not None:
            self._processor.unlimit(self._work_limit)
            self._lost_work_s += self._work_limit.lost_s
        self._work_limit = None if cores is None else self._processor.limit(cores)

    def _served(self) -> None:
        """Called for every request. Counts are sent at once: this process may be killed next."""
        if self._interferers:
            asyncio.get_running_loop().call_soon(self._send_counts)

    async def send_counts_regularly(self) -> None:
        while True:
            await asyncio.sleep(COUNTS_EVERY_S)
            self._send_counts()
            self._processor.flush()

    def _send_counts(self) -> None:
        taken = {number: each.exposure().counted.requests for number, each in self._interferers.items()}
        limited_s = 0.0 if self._work_limit is None else self._work_limit.lost_s
        counts = messages.Counts(dict(self.attempts), taken, round((self._lost_work_s + limited_s) * 1000))
        if counts != self._sent:
            self._sent = counts
            self.send(counts)
