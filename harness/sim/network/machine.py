"""A simulated machine: an address on the network, a kernel, and at most one process."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context, copy_context
from socket import AF_INET6, AF_UNIX
from typing import TYPE_CHECKING, Any, Literal

from harness.errors import HarnessError
from harness.faults.exposure import Cause, Exposure, ExposureCounter
from harness.faults.primitives import HostIdentity
from harness.runtime.causation import cause_of_own, set_cause
from harness.sim.network.addresses import ANY, LOOPBACK, UNIX, family_of, in_use, is_own, not_available
from harness.sim.process import Process

if TYPE_CHECKING:
    from harness.runtime.routes import Hop
    from harness.sim.network.datagram import DatagramEnd
    from harness.sim.network.listener import Listener
    from harness.sim.network.network import SimNetwork
    from harness.sim.network.path import Path
    from harness.sim.network.transport import SimTransport

type State = Literal["up", "paused", "off", "down"]


FIRST_PORT, LAST_PORT = 32768, 60999
"""Ephemeral ports, as Linux has them (net.ipv4.ip_local_port_range)."""


class MachineError(HarnessError):
    """A machine is not in the state that a call needs."""


class Observation:
    """What a fault that stops or pauses a machine has done to traffic, while no earlier one of its kind is in force."""

    def __init__(self, others: list[Observation]) -> None:
        self.effects = ExposureCounter()
        self._others = others
        others.append(self)

    def exposure(self) -> Exposure:
        return self.effects.exposure()

    def stop(self) -> None:
        """Count no more. Idempotent."""
        if self in self._others:
            self._others.remove(self)


class Machine:
    """Made by `SimNetwork.add_machine`. It is `down` when it has no process, and the kernel answers RST."""

    def __init__(
        self,
        network: SimNetwork,
        identity: HostIdentity,
        address: str,
        address6: str,
        names: tuple[str, ...],
        up: tuple[Hop, ...],
        down: tuple[Hop, ...],
        attach_rtt_s: float,
    ) -> None:
        self._network = network
        self.identity = identity
        self.address, self.address6 = address, address6
        self.names = names
        self.up, self.down = up, down
        """The hops from the machine to its zone, and from the zone to the machine."""
        self.attach_rtt_s = attach_rtt_s
        self.restarts_after_idle = True
        """Whether its TCP begins slow start anew after silence."""
        self.skew_s: Callable[[], float] | None = None
        """How far its wall clock is ahead; None where it never is."""
        self.look_up: Callable[[str], Awaitable[str]] | None = None
        """The name to resolve in place of one that its process looks up; None where it is the same."""
        self.cores = 1
        """How many its process is told that there are."""
        self.state: State = "down"
        self.connected = True
        """Whether its kernel is on the network."""
        self.running = True
        """Whether its process may run."""
        self.removed = False
        self.process: Process | None = None
        self.listeners: dict[tuple[str, int], Listener] = {}
        """By address and port."""
        self.datagrams: dict[tuple[str, int], DatagramEnd] = {}
        """UDP sockets, by address and port."""
        self.sockets_made = 0
        self.on_listen: Callable[[], None] = _nothing
        """Called when its process begins to listen on a port."""
        self.transports: dict[SimTransport, None] = {}
        self.paths: dict[Machine, Path] = {}
        self.connections_made: dict[str, int] = {}
        self.serves_clients = False
        """Whether it has had requests that clients caused."""
        self._stops: list[Observation] = []
        self._pauses: list[Observation] = []
        self._stopped_s = math.inf
        """Since when it has no process because of a fault."""
        self._next_port = FIRST_PORT
        self._ports: dict[tuple[str, int], set[int]] = {}
        """Ephemeral ports in use, by the address and port of the other end."""
        self._context: Context | None = None

    def __repr__(self) -> str:
        return f"<Machine {self.identity.name} {self.address} {self.state}>"

    @property
    def alive(self) -> bool:
        """Whether it has a process (which may be paused)."""
        return self.process is not None

    # ------------------------------------------------------------------ a process

    def start(self, main: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Task[None]:
        """Run `main` as this machine's process: all that it creates belongs to it."""
        if self.process is not None:
            raise MachineError(f"{self.identity.name} is {self.state}: it has a process already")
        self.process = Process(self)
        context = copy_context()
        context.run(Process.variable.set, self.process)
        context.run(set_cause, None)
        self._context = context
        self._set("up")
        return self._spawn(self.process, main(), context, f"{self.identity.name}:main")

    def adopt(self) -> Process:
        """Make a process without a task of its own, for code that sets `Process.variable`."""
        if self.process is not None:
            raise MachineError(f"{self.identity.name} is {self.state}: it has a process already")
        self.process = Process(self)
        self._set("up")
        return self.process

    def run[T](self, coro: Coroutine[Any, Any, T], *, name: str | None = None) -> asyncio.Task[T]:
        """Another task of the same process."""
        if self._context is None or self.process is None:
            coro.close()
            raise MachineError(f"{self.identity.name} is {self.state}: it has no process to run in")
        return self._spawn(self.process, coro, self._context.copy(), name)

    def _spawn[T](
        self, process: Process, coro: Coroutine[Any, Any, T], context: Context, name: str | None
    ) -> asyncio.Task[T]:
        task: asyncio.Task[T] = self._network.loop.create_task(coro, context=context, name=name)
        process.tasks[task] = None
        task.add_done_callback(lambda done: process.tasks.pop(done, None), context=Context())
        return task

    def kill(self) -> None:
        """SIGKILL: its tasks end without effect, the kernel closes its connections, connects are refused."""
        if self.process is None:
            return
        self._end_process(kernel=True)
        self._set("down")

    def power_off(self) -> None:
        """The kernel is gone with the process: nothing is sent and nothing answered."""
        self._set("off")
        self._end_process(kernel=False)

    def power_on(self) -> None:
        """The kernel is back, without a process (what `start` does by itself)."""
        if self.state == "off":
            self._set("down")

    def pause(self) -> None:
        """SIGSTOP: the kernel accepts and buffers, nothing of the process runs."""
        if self.state == "up" and self.process is not None:
            self._set("paused")
            self._network.loop.hold(self.process)

    def resume(self) -> None:
        """SIGCONT."""
        if self.state == "paused" and self.process is not None:
            self._set("up")
            self._network.loop.release(self.process)
            for listener in list(self.listeners.values()):
                listener.accept_backlog()
            for transport in list(self.transports):
                transport.wake()
            for end in list(self.datagrams.values()):
                end.wake()

    def _set(self, state: State) -> None:
        self.state = state
        self.connected = state != "off"
        if state in ("up", "paused"):
            self._stopped_s = math.inf
        else:
            self._stopped_s = min(self._stopped_s, self._network.loop.now_s)
        self.running = state not in ("paused", "off")

    def _end_process(self, *, kernel: bool) -> None:
        """`kernel`: whether there is still one, which closes the connections."""
        process, self.process, self._context = self.process, None, None
        if process is not None:
            process.alive = False
            process.held_ready, process.held_timers = [], []
        for listener in list(self.listeners.values()):
            listener.close()
        for end in self.datagrams.values():
            end.vanish()
        self.datagrams.clear()
        for transport in list(self.transports):
            if not transport.gone:
                for observation in self._stops[:1]:
                    if not kernel and transport.busy:
                        observation.effects.lose(transport.connection, 0, transport.cause)
                    elif kernel and not self._network.path(self, transport.peer.machine).blocked:
                        observation.effects.reset(transport.connection, transport.cause)
            if kernel:
                transport.orphan()
            else:
                transport.vanish(reset=False)
        if process is not None:
            self._network.loop.cancel_tasks_of(process)

    # ------------------------------------------------------------------ for the network

    def find_listener(self, address: str, port: int) -> Listener | None:
        """What listens for connections to this address of the machine."""
        found = self.listeners.get((address, port))
        if found is None and not address.startswith(UNIX):
            found = self.listeners.get((ANY[family_of(address)], port))
        return found

    def is_taken(self, address: str, port: int) -> bool:
        """Whether nothing else can listen there."""
        wildcard = address in ANY.values()
        return self.find_listener(address, port) is not None or (
            wildcard
            and any(other == port and family_of(each) is family_of(address) for each, other in self.listeners)
        )

    def find_datagram(self, address: str, port: int) -> DatagramEnd | None:
        """The UDP socket that gets what is sent to this address of the machine."""
        found = self.datagrams.get((address, port))
        return self.datagrams.get((ANY[family_of(address)], port)) if found is None else found

    def bind_datagram(self, address: str, port: int) -> tuple[str, int]:
        """Where a new UDP socket is; port 0: the next free one. OSError when it is in use."""
        self.sockets_made += 1
        used = {other for _, other in self.datagrams}
        if port:
            if self.find_datagram(address, port) is not None or (address in ANY.values() and port in used):
                raise in_use()
            return address, port
        for _ in range(LAST_PORT - FIRST_PORT + 1):
            self._next_port = FIRST_PORT if self._next_port >= LAST_PORT else self._next_port + 1
            if self._next_port not in used:
                return address, self._next_port
        raise not_available()

    def has_address(self, address: str) -> bool:
        return address in (self.address, self.address6) or is_own(address)

    def own_address(self, remote: str) -> str:
        """The address from which it connects to another one."""
        family = family_of(remote)
        if is_own(remote):
            return LOOPBACK[family]
        if family is AF_UNIX:
            return UNIX
        return self.address6 if family is AF_INET6 else self.address

    def take_port(self, remote: tuple[str, int] | None, wanted: int = 0) -> int:
        """A port for a connection there, or to listen on: the next ephemeral one, or the one that is wanted.

        OSError when all are in use (EADDRNOTAVAIL), or the wanted one is (EADDRINUSE).
        """
        taken = self._ports.setdefault(remote, set()) if remote is not None else set()
        if wanted:
            if wanted in taken:
                raise in_use()
            taken.add(wanted)
            return wanted
        for _ in range(LAST_PORT - FIRST_PORT + 1):
            port = self._next_port = FIRST_PORT if self._next_port >= LAST_PORT else self._next_port + 1
            if port not in taken and (remote is not None or all(each != port for _, each in self.listeners)):
                taken.add(port)
                return port
        raise not_available()

    def free_port(self, remote: tuple[str, int], port: int) -> None:
        """The connection is over."""
        taken = self._ports.get(remote)
        if taken is not None:
            taken.discard(port)
            if not taken:
                del self._ports[remote]

    def observe(self, how: Literal["stop", "pause"]) -> Observation:
        """Begin to count what a fault does by stopping or pausing this machine."""
        return Observation(self._stops if how == "stop" else self._pauses)

    def own_cause(self, cause: Cause | None) -> Cause:
        """That of a connection which its process opens. `cause`: of the code; None where it does so by itself."""
        return cause_of_own(self.serves_clients) if cause is None else cause

    def stopped_before(self, time_s: float) -> bool:
        """Whether a fault has stopped it since before this time."""
        return bool(self._stops) and self._stopped_s <= time_s

    def note_held(self, connection: int, n_bytes: int, cause: Cause) -> None:
        """Data for this machine wait, or are lost. The first fault that stops or pauses it counts them."""
        for observation in self._in_force():
            observation.effects.lose(connection, n_bytes, cause)

    def note_blocked(self, cause: Cause) -> None:
        """A connection attempt to this machine is refused, or gets no answer."""
        for observation in self._in_force():
            observation.effects.block(cause)

    def _in_force(self) -> list[Observation]:
        return (self._pauses if self.state == "paused" else self._stops)[:1]


def _nothing() -> None: ...
