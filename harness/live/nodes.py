"""`LiveNode`: a node of a live run. Its process comes and goes; faults stop, pause and limit it."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.faults.primitives import FaultFailed, HostIdentity, HostRule
from harness.live import messages
from harness.live.blackhole import Blackhole, open_blackhole
from harness.live.cpu import Group
from harness.live.fork_server import ForkServer
from harness.live.link_faults import LinkFaults
from harness.live.messages import RowCodec
from harness.live.names import real_port
from harness.live.node_process import NodeProcess, launch_process
from harness.live.processes import session_of
from harness.live.proxy_links import ProxyLinks
from harness.live.remote import record
from harness.runtime.contract import NotReady
from harness.runtime.journal import Journal
from harness.runtime.primitives import Hold, Stop
from harness.system import Node

READY_S = 30.0
"""How long a node may take until it listens."""


@dataclass(frozen=True, slots=True)
class NodeContext:
    """What the nodes of a run share. `attempts`: connection attempts by node, as the processes report them."""

    fork_server: ForkServer
    links: ProxyLinks
    faults: LinkFaults
    journal: Journal
    rows: RowCodec
    attempts: Counter[str]


class LiveNode:
    """Faults may overlap: the node runs again when the last one is undone. It has no process at first.

    `group`: the control group that limits its processor time. `namespace`: the path of its network namespace, with
    the kernel network.
    """

    def __init__(
        self, context: NodeContext, node: Node, address: str, group: Group, namespace: str | None = None
    ) -> None:
        self.group = group
        self._context = context
        self._node = node
        self._identity = HostIdentity(node.name, node.role, node.zone)
        self._address = address
        self._namespace = namespace
        self._ports: set[int] = set()
        """Ports on which its service has ever listened."""
        self._incarnation = 0
        self._config: dict[str, Any] = {}
        """What deploys have changed in the node's own."""
        self._process: NodeProcess | None = None
        self._stops: dict[Hold, Stop] = {}
        self._pauses: dict[Hold, None] = {}
        self._cpu_limits: dict[Hold, float] = {}
        self._lost_work_ms = 0
        self._interferences: dict[int, messages.Interfere] = {}
        self._interfered: Counter[int] = Counter()
        """Requests interfered with, by interference, in processes that have ended."""
        self._blackhole: Blackhole | None = None
        self._lock = asyncio.Lock()

    @property
    def _alive(self) -> NodeProcess | None:
        """Its process, unless it is down."""
        return self._process if self._process is not None and self._process.alive else None

    # ------------------------------------------------------------------ starting and stopping

    async def start(self) -> None:
        """Release all holds, start the service unless it runs, and wait until it is ready. NotReady."""
        self._stops.clear()
        async with self._lock:
            if self._alive is None:
                if self._blackhole is not None:
                    await self._blackhole.power_on()
                await self._launch()
            await self._restore()
            await self._context.faults.refuse(self._node.name, False)

    async def stop(self, hold: Hold, how: Stop) -> None:
        """Kill the process, or cut the power, and keep it so until `unstop(hold)`."""
        self._stops[hold] = how
        async with self._lock:
            if how == "power_off":
                await self._power_off()
            elif self._blackhole is None:
                await self._kill()
                await self._context.faults.refuse(self._node.name, True)

    async def deploy(self, hold: Hold, config: Mapping[str, Any]) -> None:
        """Kill the process; what is started next has these keys in its config."""
        self._config |= config
        await self.stop(hold, "kill")

    async def unstop(self, hold: Hold) -> None:
        """Release a hold. With the last one, start the service and wait until it is ready. NotReady."""
        how = self._stops.pop(hold, None)
        if how is None:
            return
        if not self._stops:
            try:
                await self.start()
            except BaseException:
                self._stops[hold] = how  # so that it can be tried again
                raise
        elif "power_off" not in self._stops.values():
            async with self._lock:
                await self._context.faults.refuse(self._node.name, True)
                await self._restore()

    async def end(self) -> None:
        """The end of the run."""
        async with self._lock:
            await self._kill()
            if self._blackhole is not None:
                self._blackhole.close()
            self.group.release()

    async def _launch(self) -> None:
        """Start a new process, with its own random stream and the old disk, and wait until it listens. NotReady."""
        self._incarnation += 1
        launch = messages.Launch(
            self._node.name,
            self._incarnation,
            self._address,
            self._namespace,
            self._config,
            self._context.links.addresses,
            self._context.links.ports.get(self._node.name, (None, None))[1],
        )
        process = self._process = await launch_process(self._context.fork_server, launch, self)
        if self._cpu_limits:
            self.group.add([process.pid])
            self._limit_work()
        for interference in self._interferences.values():
            process.send(interference)
        try:
            async with asyncio.timeout(READY_S):
                await process.ready()
        except TimeoutError:
            log = self._context.fork_server.log_tail(self._node.name)
            raise NotReady(
                f"it did not listen within {READY_S:g} s; a service without a port calls host.ready()\n{log}"
            ) from None

    async def _kill(self) -> None:
        self._pauses.clear()
        if self._process is not None:
            await self._process.kill()

    async def _power_off(self) -> None:
        if self._blackhole is not None:
            return
        if (process := self._alive) is not None:
            process.signal(signal.SIGSTOP)  # so that no end of a connection gets out
        context = self._context
        self._blackhole = await open_blackhole(
            self._node.name, self._address, self._ports, context.faults, context.links.controller
        )
        await self._kill()
        await context.faults.refuse(self._node.name, False)

    async def _restore(self) -> None:
        blackhole, self._blackhole = self._blackhole, None
        if blackhole is not None:
            await blackhole.restore()

    # ------------------------------------------------------------------ slowing down

    @property
    def down(self) -> bool:
        """Whether a fault has stopped it."""
        return bool(self._stops)

    def pause(self, hold: Hold) -> None:
        """SIGSTOP. Nothing happens when it is down."""
        if (process := self._alive) is not None:
            self._pauses[hold] = None
            process.signal(signal.SIGSTOP)

    def unpause(self, hold: Hold) -> None:
        if hold in self._pauses:
            del self._pauses[hold]
            if not self._pauses and self._process is not None:
                self._process.signal(signal.SIGCONT)

    def limit_cpu(self, hold: Hold, factor: float) -> None:
        """Limit its processor time, also of processes to come. OSError, QuotaUnavailable, FactorOutOfRange."""
        self._cpu_limits[hold] = factor
        self._apply_cpu_limit()

    def unlimit_cpu(self, hold: Hold) -> None:
        if self._cpu_limits.pop(hold, None) is None:
            return
        if self._cpu_limits:
            self._apply_cpu_limit()
        else:
            self._limit_work()
            self.group.release()

    def _limit_work(self) -> None:
        """What its service only says that it works (`Host.work`) is limited in the process itself."""
        if (process := self._alive) is not None:
            factor = max(self._cpu_limits.values(), default=None)
            process.send(messages.LimitWork(None if factor is None else 1 / factor))

    @property
    def lost_work_ms(self) -> int:
        """Work (`Host.work`) that limits kept waiting so far, in core milliseconds."""
        return self._lost_work_ms + (0 if self._process is None else self._process.counts.lost_work_ms)

    def _apply_cpu_limit(self) -> None:
        self._limit_work()
        process = self._alive
        pids = [] if process is None else session_of(process.pid)
        self.group.limit(max(self._cpu_limits.values()), pids)

    # ------------------------------------------------------------------ interference

    def interfere(self, number: int, rule: HostRule, names: tuple[str | int, ...]) -> None:
        """Interfere with it from now on, also in processes to come."""
        if self._node.command:
            raise FaultFailed(f"{self._node.name} is a program, and nothing of the harness is in its process")
        message = self._interferences[number] = messages.Interfere(number, rule, names)
        if self._process is not None:
            self._process.send(message)

    def stop_interfering(self, number: int) -> None:
        del self._interferences[number]
        if self._process is not None:
            self._process.send(messages.StopInterfering(number))

    def interfered(self, number: int) -> int:
        """How many requests an interference has affected, as far as the node has reported."""
        now = 0 if self._process is None else self._process.counts.taken.get(number, 0)
        return self._interfered[number] + now

    # ------------------------------------------------------------------ reports of its processes

    async def flush(self) -> None:
        """Return when all reports of the node until now have arrived. It is not waited for when stopped or down."""
        if not self._pauses and (process := self._alive) is not None:
            await process.flush()

    async def route(self, name: str, port: int) -> Sequence[messages.Address]:
        return await self._context.links.route(self._identity, name, port)

    def fail(self, error: str) -> None:
        self._context.journal.fail("the harness", f"{self._node.name}: {error}")

    def report(self, process: NodeProcess, message: object) -> None:
        context = self._context
        match message:
            case messages.Ready(port):
                if port is not None:
                    self._ports.add(real_port(port))
            case messages.Counts(attempts):
                for target, total in attempts.items():
                    context.attempts[target] += total - process.counts.attempts.get(target, 0)
                process.counts = message
            case _:
                record(context.journal, context.rows, message)

    def exited(self, process: NodeProcess) -> None:
        self._interfered.update(process.counts.taken)
        self._lost_work_ms += process.counts.lost_work_ms
        process.counts = messages.Counts()
        if not process.killed:
            log = self._context.fork_server.log_tail(self._node.name)
            self._context.journal.fail(self._node.name, f"{process.end_reason}\n{log}".rstrip())
