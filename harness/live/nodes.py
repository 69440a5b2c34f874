"""A node of a live run: its process, the line to it, and what holds it down."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections import Counter
from itertools import count

from harness.faults.primitives import EndpointMatch, FaultFailed, HostIdentity, HttpRule, PathMatch
from harness.live import messages
from harness.live.cpu import Group
from harness.live.fork_client import ForkServer
from harness.live.host import real_port
from harness.live.processes import session_of
from harness.live.proxy_links import ProxyLinks, Rule
from harness.runtime.contract import NotReady
from harness.runtime.holds import Hold, Stop
from harness.runtime.journal import Journal
from harness.system import Node

READY_S = 30.0
"""How long a node may take until it listens."""

GONE_S = 10.0
"""How long a killed process may take until the kernel has taken it away."""

ANSWER_S = 2.0
"""How long a node is given to tell its counts."""


class LiveNode:
    """Faults may overlap: the node runs again when the last that holds it is gone."""

    def __init__(
        self,
        node: Node,
        address: str,
        *,
        fork_server: ForkServer,
        wires: ProxyLinks,
        journal: Journal,
        attempts: Counter[str],
        group: Group,
        namespace: str | None = None,
    ) -> None:
        self.node = node
        self.peer = HostIdentity(node.name, node.role, node.zone)
        self.address = address
        self._fork_server = fork_server
        self._wires = wires
        self._journal = journal
        self._attempts = attempts
        self._namespace = namespace
        self.ports: set[int] = set()
        """Where its service has ever listened."""
        self._incarnation = 0
        self._process: _Process | None = None
        self._stops: dict[Hold, Stop] = {}
        self._pauses: dict[Hold, None] = {}
        self._slows: dict[Hold, float] = {}
        self.group = group
        self._rules: dict[int, messages.Interfere] = {}
        self._taken: Counter[int] = Counter()
        """Requests interfered with, by interference, in processes that are gone."""
        self._silence: _Silence | None = None
        self._changing = asyncio.Lock()

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.alive

    # ------------------------------------------------------------------ life

    async def launch(self) -> None:
        """Start a new process for the service, with its own random stream; the disk is the old one."""
        self._incarnation += 1
        launch = messages.Launch(self.node.name, self._incarnation, self.address, self._namespace)
        process = self._process = _Process(self)
        await process.begin(self._fork_server, launch)
        if self._slows:
            self.group.add([process.pid])
        for rule in self._rules.values():
            process.send(rule)

    async def until_ready(self, limit_s: float = READY_S) -> None:
        """Return when the service listens. NotReady when it ends before that, or takes too long."""
        assert self._process is not None
        try:
            async with asyncio.timeout(limit_s):
                await asyncio.shield(self._process.ready)
        except TimeoutError:
            said = self._fork_server.log(self.node.name)
            raise NotReady(f"it did not listen (host.serve) within {limit_s:g} s\n{said}") from None

    async def stop(self, hold: Hold, how: Stop) -> None:
        """Kill the process, or cut the power, and keep it so until `unstop(hold)`."""
        self._stops[hold] = how
        async with self._changing:
            if how == "power_off":
                await self._fall_silent()
            elif self._silence is None:
                await self._kill()
                await self._wires.refuse(self.node.name, True)

    async def unstop(self, hold: Hold) -> None:
        """Take a hold off; with the last one gone, start the service and wait until it is ready."""
        how = self._stops.pop(hold, None)
        if how is None:
            return
        if not self._stops:
            try:
                await self.start()
            except BaseException:
                self._stops[hold] = how  # it is down, or not reached, until that is tried again
                raise
        elif "power_off" not in self._stops.values():
            async with self._changing:
                await self._wires.refuse(self.node.name, True)
                await self._speak_again()

    async def start(self) -> None:
        """Start the service unless it runs, whatever held it, and wait until it is ready."""
        self._stops.clear()
        async with self._changing:
            if not self.alive:
                if self._silence is not None:
                    self._silence.close()
                    if self._wires.plane is not None:
                        await self._wires.plane.powered(self.node.name)
                await self.launch()
                await self.until_ready()
            await self._speak_again()
            await self._wires.refuse(self.node.name, False)

    async def _kill(self) -> None:
        self._pauses.clear()
        if self._process is not None:
            await self._process.kill()

    async def _fall_silent(self) -> None:
        """Nothing comes from the machine any more: not the end of a connection, not the refusal of a new one."""
        if self._silence is not None:
            return
        if self.alive and self._process is not None:
            self._process.signal(signal.SIGSTOP)
        silence = self._silence = _Silence()
        own, everyone = EndpointMatch(frozenset({self.node.name})), EndpointMatch(everything=True)
        for path in (PathMatch(everyone, own), PathMatch(own, everyone)):
            silence.rules.append(await self._wires.add(path, None))
        if self._wires.plane is not None:
            await self._wires.plane.dark(self.node.name, self.address)
        else:
            for port in sorted(self.ports):
                silence.listen(self.address, port)
        await self._kill()
        await self._wires.refuse(self.node.name, False)

    async def _speak_again(self) -> None:
        silence, self._silence = self._silence, None
        if silence is not None:
            silence.close()
            if self._wires.plane is not None:
                await self._wires.plane.bright(self.node.name, self.address)
            for rule in silence.rules:
                await self._wires.remove(rule)

    def pause(self, hold: Hold) -> None:
        """Stop the process in its tracks (SIGSTOP); nothing to do when it is down."""
        if self.alive and self._process is not None:
            self._pauses[hold] = None
            self._process.signal(signal.SIGSTOP)

    def unpause(self, hold: Hold) -> None:
        if hold in self._pauses:
            del self._pauses[hold]
            if not self._pauses and self._process is not None:
                self._process.signal(signal.SIGCONT)

    def cpu_limit(self, hold: Hold, factor: float) -> None:
        """Give it less processor time, also in processes to come. OSError, QuotaUnavailable."""
        self._slows[hold] = factor
        self._limit()

    def unslow(self, hold: Hold) -> None:
        if self._slows.pop(hold, None) is None:
            return
        if self._slows:
            self._limit()
        else:
            self.group.release()

    def _limit(self) -> None:
        pids = session_of(self._process.pid) if self.alive and self._process is not None else []
        self.group.limit(max(self._slows.values()), pids)

    # ------------------------------------------------------------------ interference

    def interfere(self, number: int, rule: HttpRule, names: tuple[str | int, ...]) -> None:
        """From now on, also in processes to come."""
        message = self._rules[number] = messages.Interfere(number, rule, names)
        if self._process is not None:
            self._process.send(message)

    def relent(self, number: int) -> None:
        del self._rules[number]
        if self._process is not None:
            self._process.send(messages.Relent(number))

    def taken(self, number: int) -> int:
        """How many requests an interference has taken, as far as this node has told."""
        now = self._process.counts.taken.get(number, 0) if self._process is not None else 0
        return self._taken[number] + now

    async def settle(self) -> None:
        """Have the node tell everything it has to tell; not waited for when it is stopped or down."""
        if self.alive and not self._pauses and self._process is not None:
            await self._process.ask()

    # ------------------------------------------------------------------ what its process says

    def heard(self, process: _Process, message: object) -> None:
        """Called by the line."""
        match message:
            case messages.Emitted(t_s, row):
                self._journal.emit(self.node.name, self.node.role, row, t_s)
            case messages.Unhandled(error, defect):
                self._journal.unhandled(self.node.name, error, defect=defect)
            case messages.Ended(why):
                process.why = why
            case messages.Resolve(number, name, port):
                process.run(self._resolve(process, number, name, port))
            case messages.Counts(attempts, _):
                for node, total in attempts.items():
                    self._attempts[node] += total - process.counts.attempts.get(node, 0)
                process.counts = message

    async def _resolve(self, process: _Process, number: int, name: str, port: int) -> None:
        addresses: tuple[messages.Address, ...] = ()
        try:
            addresses = await self._wires.route(self.peer, name, port)
        except FaultFailed as error:
            self._journal.fail("the harness", f"no way from {self.node.name} to {name}: {error}")
        process.send(messages.Route(number, addresses))

    def exited(self, process: _Process, status: int) -> None:
        """Called when a process is gone."""
        for number, total in process.counts.taken.items():
            self._taken[number] += total
        process.counts = messages.Counts()
        if process.killed:
            why = "it was stopped before it listened"
        else:
            why = process.why or _died(status)
            said = self._fork_server.log(self.node.name)
            self._journal.fail(self.node.name, f"{why}\n{said}" if said else why)
        if not process.ready.done():
            process.ready.set_exception(NotReady(why))
            process.ready.exception()

    async def end(self) -> None:
        """The end of the run."""
        async with self._changing:
            await self._kill()
            if self._silence is not None:
                self._silence.close()
            self.group.release()


class _Process:
    """One process of a node: its id, the line to it, what it said of itself."""

    def __init__(self, node: LiveNode) -> None:
        self._node = node
        self.pid = 0
        self.alive = False
        self.killed = False
        self.why: str | None = None
        self.counts = messages.Counts()
        loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[None] = loop.create_future()
        self._gone: asyncio.Future[None] = loop.create_future()
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._answers: dict[int, asyncio.Future[None]] = {}
        self._numbers = count(1)

    async def begin(self, fork_server: ForkServer, launch: messages.Launch) -> None:
        own, theirs = socket.socketpair()
        with theirs:
            self.pid = await fork_server.launch(launch, theirs, self._exited)
        self.alive = True
        reader, self._writer = await asyncio.open_connection(sock=own)
        self._reading = asyncio.ensure_future(self._read(reader))

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while (message := await messages.receive(reader)) is not None:
            match message:
                case messages.Ready(port):
                    self._node.ports.add(port)
                    if not self.ready.done():
                        self.ready.set_result(None)
                case messages.Answer(number):
                    if (answer := self._answers.pop(number, None)) and not answer.done():
                        answer.set_result(None)
                case _:
                    self._node.heard(self, message)

    def run(self, work: object) -> None:
        task = asyncio.ensure_future(work)  # type: ignore[call-overload]
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def send(self, message: object) -> None:
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(messages.frame(message))

    def signal(self, number: signal.Signals) -> None:
        if self.alive:
            # The fork server reports the exit before the id is used again. Its children are in its process group;
            # just after the fork there is none yet.
            try:
                os.killpg(self.pid, number)
            except ProcessLookupError:
                os.kill(self.pid, number)

    async def kill(self) -> None:
        """SIGKILL; returns when the kernel has taken it away."""
        if not self.alive:
            return
        self.killed = True
        self.signal(signal.SIGKILL)
        async with asyncio.timeout(GONE_S):
            await asyncio.shield(self._gone)

    async def ask(self) -> None:
        """Everything that the process has said so far has been heard when this returns."""
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        self.send(messages.Ask(number))
        await asyncio.wait({answer, self._gone}, timeout=ANSWER_S, return_when=asyncio.FIRST_COMPLETED)
        self._answers.pop(number, None)

    def _exited(self, status: int) -> None:
        # What it said last is still on the line.
        self.alive = False
        self.run(self._finish(status))

    async def _finish(self, status: int) -> None:
        if self._reading is not None:
            await asyncio.wait({self._reading}, timeout=ANSWER_S)
            self._reading.cancel()
        if self._writer is not None:
            self._writer.close()
        self._node.exited(self, status)
        if not self._gone.done():
            self._gone.set_result(None)


class _Silence:
    """What stands for a machine without power: rules that hold everything, and a listener that never accepts.

    The kernel takes connections into the listener's backlog and keeps what is sent; when it closes, they are reset.
    With the kernel network there is no listener: packets are dropped on all legs, and the machine's dead sockets
    with it, so that what its peers send later is answered with RST.
    """

    def __init__(self) -> None:
        self.rules: list[Rule] = []
        self._sockets: list[socket.socket] = []

    def listen(self, address: str, port: int) -> None:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((address, real_port(port)))
        sock.listen(1024)
        self._sockets.append(sock)

    def close(self) -> None:
        for sock in self._sockets:
            sock.close()
        self._sockets.clear()


def _died(status: int) -> str:
    if status < 0:
        return f"its process was killed by {signal.Signals(-status).name}"
    return f"its process ended with exit code {status}"
