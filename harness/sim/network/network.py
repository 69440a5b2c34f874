"""`SimNetwork`: machines with names and addresses, and the connections between them."""

from __future__ import annotations

import asyncio
import errno
import math
import socket
import weakref
from collections.abc import Callable, Sequence
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING

from harness.diagnostics import Code
from harness.errors import HarnessError, InvalidValue
from harness.faults.exposure import Exposure, ExposureCounter
from harness.faults.primitives import HostIdentity, PathMatch
from harness.runtime.routes import ATTACH_RTT_S, Hop, access_hops
from harness.sim.network import addresses, handshake
from harness.sim.network.datagram import DatagramEnd
from harness.sim.network.event_queue import EventQueue
from harness.sim.network.fair import FairShare
from harness.sim.network.listener import Listener
from harness.sim.network.machine import Machine
from harness.sim.network.paths import Paths
from harness.sim.network.sender import Sender
from harness.sim.network.stand_in import StandIn
from harness.sim.network.transport import SimTransport
from harness.sim.process import Process
from harness.system import Access

if TYPE_CHECKING:
    from harness.sim.loop import SimLoop
    from harness.sim.network.tls import Tls


class OutsideMachine(HarnessError):
    """The network is used by code that does not run on a machine."""


class SimNetwork:
    """Belongs to one loop. Everything on it is a pure function of the seed and of what is done to it."""

    def __init__(self, loop: SimLoop, seed: int) -> None:
        self.loop = loop
        self.seed = seed
        self.fair = FairShare()
        self.dirty: list[Sender] = []
        """Senders to look at before time moves on."""
        self._events = EventQueue()
        self.at = self._events.at
        self.next_event_s = self._events.next_s
        self.run_due = self._events.run_due
        self._paths = Paths(loop.time, self._forget_paths)
        self.path = self._paths.find
        self.impair = self._paths.impair
        self.add_link = self._paths.add_link
        self._machines: dict[str, Machine] = {}
        self._names: dict[str, dict[Machine, None]] = {}
        self._made = 0
        self.connections = 0
        """How many connections were ever made."""
        self.role_paths: set[tuple[str, str]] = set()
        """Pairs of roles of which hosts of the first one connected to hosts of the second."""
        self.stand_ins: weakref.WeakKeyDictionary[socket.socket, StandIn] = weakref.WeakKeyDictionary()
        self._handed: weakref.WeakKeyDictionary[socket.socket, SimTransport] = weakref.WeakKeyDictionary()

    # ------------------------------------------------------------------ for the loop

    def flush(self, now_s: float) -> None:
        """Bring all flows in line with what changed at this instant."""
        while self.dirty or self.fair.unsettled:
            dirty, self.dirty = self.dirty, []
            for sender in dirty:
                sender.pump(now_s)
            if self.fair.unsettled:
                self.fair.settle(now_s)

    def close(self) -> None:
        """Nothing happens any more."""
        self._events.clear()
        self.dirty.clear()

    @property
    def open_connections(self) -> int:
        """Ends of connections that still hold memory, over 2, rounded up."""
        return (sum(len(machine.transports) for machine in self._machines.values()) + 1) // 2

    # ------------------------------------------------------------------ machines and names

    def add_machine(
        self, identity: HostIdentity, *, access: Access | None = None, names: tuple[str, ...] = ()
    ) -> Machine:
        """Attach a machine to its zone: through `access`, through a `Link` that names it, or else at 0.2 ms,
        unlimited. `names` are further DNS names (its role), which machines may share. InvalidValue for a name that
        another machine has."""
        if identity.name in self._machines:
            raise InvalidValue(
                Code.DUPLICATE, f"there is a host '{identity.name}' already", "names must be unique"
            )
        self._made += 1
        n = self._made
        address = f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}"
        up, down, rtt_s = self._attachment(identity, access)
        address6 = f"fd00::{n:x}"
        names = (identity.name, address, address6, *names)
        machine = Machine(self, identity, address, address6, names, up, down, rtt_s)
        self._machines[identity.name] = machine
        for name in machine.names:
            self._names.setdefault(name, {})[machine] = None
        return machine

    def _attachment(
        self, identity: HostIdentity, access: Access | None
    ) -> tuple[tuple[Hop, ...], tuple[Hop, ...], float]:
        """The hops from a machine to its zone, those from its zone, and the round trip."""
        name, zone = identity.name, identity.zone
        routes = self._paths.routes
        if access is not None:
            hop_up, hop_down = access_hops(access, name)
            return (hop_up,), (hop_down,), access.rtt_s
        if routes.has(name):
            up, down = routes.find(name, zone), routes.find(zone, name)
            if up is not None and down is not None:
                return up.hops, down.hops, up.rtt_s
        hop = Hop(f"{name} attached", ATTACH_RTT_S / 2, 0.0, 0.0, math.inf)
        return (hop,), (hop,), ATTACH_RTT_S

    def remove_machine(self, machine: Machine) -> None:
        """A client that left: what is still open is reset, and nothing of it stays in memory."""
        machine.kill()
        for end in list(machine.transports):
            end.vanish(reset=True)
        machine.removed = True
        self._machines.pop(machine.identity.name, None)
        for name in machine.names:
            holders = self._names.get(name, {})
            holders.pop(machine, None)
            if not holders:
                self._names.pop(name, None)
        for other in list(machine.paths):
            other.paths.pop(machine, None)
        machine.paths.clear()

    def resolve(self, name: str, family: int = 0) -> list[str]:
        """Addresses by name: own zone first, then by round trip, then by name. `socket.gaierror` if none.

        Names of machines have IPv6 addresses when only those are wanted (`family`).
        """
        asker = self._here()
        six = family == socket.AF_INET6
        holders = list(self._names.get(name, ()))
        if not holders:
            if name in ("localhost", ""):
                return [addresses.LOOPBACK[socket.AF_INET6 if six else socket.AF_INET]]
            spelt = addresses.literal(name)
            if spelt is None:
                raise socket.gaierror(socket.EAI_NONAME, f"Name or service not known: '{name}'")
            if family not in (0, addresses.family_of(spelt)):
                raise socket.gaierror(socket.EAI_ADDRFAMILY, "Address family for hostname not supported")
            return [spelt]
        if len(holders) > 1:
            zone, distance = asker.identity.zone, self._paths.routes.distance
            holders.sort(key=lambda other: (*distance(zone, other.identity.zone), other.identity.name))
        if six or name == holders[0].address6:
            return [holder.address6 for holder in holders]
        return [holder.address for holder in holders]

    def own_address(self, remote: str) -> str:
        """The address from which the calling process reaches the other one."""
        return self._here().own_address(remote)

    def is_here(self, address: str) -> bool:
        """Whether the machine of the calling process has the address."""
        return self._here().has_address(address)

    def _here(self) -> Machine:
        process = Process.current()
        if process is None:
            raise OutsideMachine(
                "only code that runs on a machine can use the network (Machine.start or .run)"
            )
        if not process.alive:
            raise OSError(errno.ENETDOWN, "this process is dead")
        return process.machine

    # ------------------------------------------------------------------ faults

    def _forget_paths(self) -> None:
        for machine in self._machines.values():
            for path in machine.paths.values():
                path.valid = False
            machine.paths.clear()
        for machine in self._machines.values():
            for end in machine.transports:
                end.sender.touch()

    def reset(self, match: PathMatch) -> Exposure:
        """Break every connection between the two sets, now, at both ends."""
        effects = ExposureCounter()
        for machine in self._machines.values():
            for end in list(machine.transports):
                if not end.gone and match.matches(machine.identity, end.peer.machine.identity):
                    effects.reset(end.connection, end.cause)
                    for side in (end, end.peer):
                        side.fail(ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"))
        return effects.exposure()

    # ------------------------------------------------------------------ connections

    def listen(
        self,
        factory: Callable[[], asyncio.BaseProtocol],
        at: Sequence[str],
        port: int,
        *,
        tls: Tls | None = None,
        start_serving: bool = True,
    ) -> Listener:
        """Listen at addresses of the machine of the calling process; port 0 picks one."""
        machine = self._here()
        if not port and not at[0].startswith(addresses.UNIX):
            port = machine.take_port(None)
        listener = Listener(machine, factory, at, port, copy_context(), tls)
        if start_serving:
            listener.open()
        return listener

    def open_datagrams(self, own: tuple[str, int], remote: tuple[str, int] | None) -> DatagramEnd:
        """A UDP socket on the machine of the calling process. OSError when the address is in use."""
        machine = self._here()
        end = DatagramEnd(self, machine, machine.bind_datagram(*own), remote)
        machine.datagrams[end.own] = end
        return end

    def machine_at(self, address: str) -> Machine | None:
        return next(iter(self._names.get(address, ())), None)

    async def connect(self, address: str, port: int, local: tuple[str, int] | None = None) -> SimTransport:
        """As `handshake.connect`, from the machine of the calling process. OSError where no route leads there."""
        src = self._here()
        dst: Machine | None
        if address.startswith(addresses.UNIX):
            if src.find_listener(address, port) is None:
                raise FileNotFoundError(errno.ENOENT, "No such file or directory")
            dst = src
        elif addresses.is_own(address):
            dst = src
            if address in addresses.ANY.values():
                address = addresses.LOOPBACK[addresses.family_of(address)]
        else:
            dst = self.machine_at(address)
        if dst is not None and dst is not src:
            zone, other = src.identity.zone, dst.identity.zone
            if self._paths.routes.find(zone, other) is None:
                raise OSError(errno.ENETUNREACH, f"Network is unreachable: no link from {zone} to {other}")
            self.role_paths.add((src.identity.role, dst.identity.role))
        return await handshake.connect(self, src, dst, address, port, local)

    def stand_in(self, sock: socket.socket) -> StandIn:
        """What a socket of a simulated process stands for."""
        found = self.stand_ins.get(sock)
        if found is None:
            found = self.stand_ins[sock] = StandIn(self, sock)
        return found

    def hand_over(self, sock: socket.socket, end: SimTransport) -> None:
        """Let a socket stand for the connection, until `take_over`."""
        self._handed[sock] = end
        weakref.finalize(sock, partial(_abandon, weakref.ref(end))).atexit = False

    def take_over(self, sock: socket.socket) -> SimTransport:
        """The connection that a socket stands for. ValueError without one."""
        end = self._handed.pop(sock, None)
        if end is None and (found := self.stand_ins.pop(sock, None)) is not None:
            end = found.end
        if end is None:
            raise ValueError("this socket was not connected through sock_connect of this loop")
        return end

    def release_bound(self, sock: socket.socket) -> tuple[str, int]:
        """The address and port that a socket is bound to, which is closed: something else stands for it from now."""
        found = self.stand_ins.pop(sock, None)
        if found is not None:
            if found.bound is None:
                found.bind(("", 0))
            found.close()
            sock.close()
            assert found.bound is not None
            return found.bound
        name = sock.getsockname()
        sock.close()
        if isinstance(name, tuple):
            return name[0], name[1]
        return addresses.unix_address(name), 0

    def reserve(self, address: str, port: int) -> int:
        """A port to listen on: this one, or the next free one for 0. OSError when it is in use."""
        machine = self._here()
        if port and machine.is_taken(address, port):
            raise addresses.in_use()
        return port or machine.take_port(None)

    def forget(self, end: SimTransport) -> None:
        """This end is gone: its machine need not know of it any more."""
        end.machine.transports.pop(end, None)
        self.free_port(end)

    def free_port(self, end: SimTransport) -> None:
        """The ephemeral port of this end can be used again. Idempotent."""
        if end.remote is not None:
            end.machine.free_port(end.remote, end.port)
            end.remote = None

    def forget_if_done(self, end: SimTransport) -> None:
        if end.finished:
            self.forget(end)


def _abandon(reference: weakref.ref[SimTransport]) -> None:
    """The socket was dropped; if nobody took the connection over, close it."""
    end = reference()
    if end is not None and not end.attached:
        end.abort()
