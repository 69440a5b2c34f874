"""The simulated network: machines with names and addresses, paths, connections, and faults laid on paths."""

from __future__ import annotations

import asyncio
import errno
import heapq
import math
import socket
import weakref
from collections.abc import Callable
from contextvars import Context, copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

from harness.faults.primitives import Exposure, HostIdentity, LinkShape, PathMatch
from harness.runtime.routes import ATTACH_RTT_S, Hop, Routes, access_hops
from harness.sim.network.fair import FairShare
from harness.sim.network.machine import Machine
from harness.sim.network.path import Path, Pipes, Rule, make_path
from harness.sim.network.transport import SimTransport
from harness.sim.process import Process
from harness.system import Access, Link

if TYPE_CHECKING:
    from harness.sim.loop import SimLoop

# Linux: SYN is repeated after 1 s, doubled, 6 times (net.ipv4.tcp_syn_retries); then ETIMEDOUT after 127 s.
_SYN_FIRST_S = 1.0
_SYN_RETRIES = 6

type _Call = Callable[[float, Any], None]


class Listener(asyncio.AbstractServer):
    """A listening port of a machine; also what `loop.create_server` returns."""

    def __init__(
        self, machine: Machine, factory: Callable[[], asyncio.BaseProtocol], port: int, context: Context
    ) -> None:
        self._machine = machine
        self._factory = factory
        self._context = context
        self.port = port
        self._open = False
        self._backlog: list[SimTransport] = []
        self._accepted: dict[SimTransport, None] = {}
        self._serving: asyncio.Future[None] | None = None
        self._waiters: list[asyncio.Future[None]] = []

    @property
    def sockets(self) -> tuple[_ListeningSocket, ...]:
        return (_ListeningSocket(self._machine.address, self.port),) if self._open else ()

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    def is_serving(self) -> bool:
        return self._open

    async def start_serving(self) -> None:
        self.open()

    def open(self) -> None:
        if not self._open:
            if self.port in self._machine.listeners:
                raise OSError(
                    errno.EADDRINUSE,
                    f"error while attempting to bind on address ('{self._machine.address}', {self.port}): "
                    "address already in use",
                )
            self._machine.listeners[self.port] = self
            self._open = True

    async def serve_forever(self) -> None:
        """Until cancelled, or closed by someone else; then wait for the connections."""
        if self._serving is not None:
            raise RuntimeError(f"server {self!r} is already being awaited on serve_forever()")
        self.open()
        self._serving = asyncio.get_running_loop().create_future()
        try:
            await self._serving
        except asyncio.CancelledError:
            try:
                self.close()
                await self.wait_closed()
            finally:
                raise
        finally:
            self._serving = None

    def close(self) -> None:
        """Listen no more; what was accepted lives on, what waits to be accepted is reset."""
        if self._open:
            self._open = False
            self._machine.listeners.pop(self.port, None)
            for end in self._backlog:
                end.vanish(reset=True)
            self._backlog.clear()
            if self._serving is not None:
                self._serving.cancel()
            self._wake()

    async def wait_closed(self) -> None:
        """Until it is closed and the last connection it accepted has ended (as since Python 3.12)."""
        if self._open or self._accepted:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter

    def _wake(self) -> None:
        if not self._open and not self._accepted:
            waiters, self._waiters = self._waiters, []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)

    def close_clients(self) -> None:
        for end in list(self._accepted):
            end.close()

    def abort_clients(self) -> None:
        for end in list(self._accepted):
            end.abort()

    def arrived(self, end: SimTransport) -> None:
        """The kernel has a new connection; the process gets it now, or when it runs again."""
        if self._machine.running:
            self._accept(end)
        else:
            self._machine.note_held(end.connection, 0)
            self._backlog.append(end)

    def accept_backlog(self) -> None:
        backlog, self._backlog = self._backlog, []
        for end in backlog:
            if not end.gone:
                self._accept(end)

    def ended(self, end: SimTransport) -> None:
        """The process has been told that this connection is lost."""
        self._accepted.pop(end, None)
        self._wake()

    def _accept(self, end: SimTransport) -> None:
        asyncio.get_running_loop().call_soon(self._begin, end, context=self._context)

    def _begin(self, end: SimTransport) -> None:
        if end.gone:
            return
        self._accepted[end] = None
        end.listener = self
        protocol = self._factory()
        end.attach(protocol, self._context)
        protocol.connection_made(end)


class _ListeningSocket:
    """Enough of a socket to ask where it listens."""

    family = socket.AF_INET
    type = socket.SOCK_STREAM

    def __init__(self, address: str, port: int) -> None:
        self._name = (address, port)

    def getsockname(self) -> tuple[str, int]:
        return self._name


class SimNetwork:
    """Belongs to one loop. Everything on it is a pure function of the seed and of what is done to it."""

    def __init__(self, loop: SimLoop, seed: int) -> None:
        self.loop = loop
        self._seed = seed
        self.fair = FairShare()
        self.dirty: list[SimTransport] = []
        """Connection ends to look at before time moves on."""
        self._events: list[tuple[float, int, _Call, Any]] = []
        self._order = 0
        self._routes = Routes()
        self._pipes = Pipes()
        self._machines: dict[str, Machine] = {}
        self._names: dict[str, dict[Machine, None]] = {}
        self._made = 0
        self._connections = 0
        self._rules: dict[Rule, None] = {}
        self._handed: weakref.WeakKeyDictionary[socket.socket, SimTransport] = weakref.WeakKeyDictionary()

    # ------------------------------------------------------------------ the loop's side

    def at(self, time_s: float, call: _Call, argument: Any) -> None:
        """Call with the time and the argument then; in the order of asking at the same moment."""
        self._order += 1
        heapq.heappush(self._events, (time_s, self._order, call, argument))

    def next_event_s(self) -> float:
        return self._events[0][0] if self._events else math.inf

    def run_due(self, now_s: float) -> None:
        events = self._events
        while events and events[0][0] <= now_s:
            _, _, call, argument = heapq.heappop(events)
            call(now_s, argument)

    def flush(self, now_s: float) -> None:
        """Bring all flows in line with what changed at this instant."""
        while self.dirty or self.fair.unsettled:
            dirty, self.dirty = self.dirty, []
            for end in dirty:
                end.pump(now_s)
            if self.fair.unsettled:
                self.fair.settle(now_s)

    def close(self) -> None:
        """The end of the world: nothing happens any more."""
        self._events.clear()
        self.dirty.clear()

    @property
    def connections(self) -> int:
        """How many connections were ever made."""
        return self._connections

    @property
    def open_connections(self) -> int:
        """Ends of connections that still hold memory, over 2, rounded up."""
        return (sum(len(machine.transports) for machine in self._machines.values()) + 1) // 2

    # ------------------------------------------------------------------ machines and names

    def add_link(self, link: Link) -> None:
        self._routes.add(link)
        self._forget_paths()

    def add_machine(
        self, identity: HostIdentity, *, access: Access | None = None, names: tuple[str, ...] = ()
    ) -> Machine:
        """Put a machine on the network: at its zone through `access`, through a `Link` that names it, or
        else at 0.2 ms, unlimited. `names` are further DNS names (its role); one may have many machines."""
        if identity.name in self._machines:
            raise ValueError(f"there is a machine '{identity.name}' already; names must be unique")
        self._made += 1
        n = self._made
        address = f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}"
        up: tuple[Hop, ...]
        down: tuple[Hop, ...]
        if access is not None:
            hop_up, hop_down = access_hops(access, identity.name)
            up, down, rtt = (hop_up,), (hop_down,), access.rtt_s
        elif (way_up := self._routes.find(identity.name, identity.zone)) and self._routes.has(identity.name):
            way_down = self._routes.find(identity.zone, identity.name)
            assert way_down is not None
            up, down, rtt = way_up.hops, way_down.hops, way_up.rtt_s
        else:
            hop = Hop("", ATTACH_RTT_S / 2, 0.0, 0.0, math.inf)
            up, down, rtt = (hop,), (hop,), ATTACH_RTT_S
        machine = Machine(self, identity, address, (identity.name, address, *names), up, down, rtt)
        self._machines[identity.name] = machine
        for name in machine.names:
            self._names.setdefault(name, {})[machine] = None
        return machine

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

    def resolve(self, name: str) -> list[str]:
        """Addresses by name: own zone first, then by round trip, then by name. `socket.gaierror` if none."""
        asker = self._here()
        if name in ("localhost", "127.0.0.1", ""):
            return [asker.address]
        holders = list(self._names.get(name, ()))
        if not holders:
            raise socket.gaierror(socket.EAI_NONAME, f"Name or service not known: '{name}'")
        if len(holders) > 1:
            zone = asker.identity.zone
            holders.sort(
                key=lambda other: (*self._routes.distance(zone, other.identity.zone), other.identity.name)
            )
        return [holder.address for holder in holders]

    def _here(self) -> Machine:
        process = Process.current()
        if process is None:
            raise RuntimeError("only code that runs on a machine can use the network (Machine.start or .run)")
        if not process.alive:
            raise OSError(errno.ENETDOWN, "this process is dead")
        return process.machine

    # ------------------------------------------------------------------ paths

    def path(self, src: Machine, dst: Machine) -> Path:
        """The way from one machine to the other, as it is now. `Path.valid` turns false when that changes."""
        path = src.paths.get(dst)
        if path is None:
            path = self._make_path(src, dst)
            if not (src.removed or dst.removed):
                # Both ways at once, so that each knows who remembers it.
                src.paths[dst] = path
                if src not in dst.paths:
                    dst.paths[src] = self._make_path(dst, src)
        return path

    def _make_path(self, src: Machine, dst: Machine) -> Path:
        if src is dst:
            return Path(0.00005, 0.0, 0.0, (), math.inf, False, ())
        rules = tuple(rule for rule in self._rules if rule.match.matches(src.identity, dst.identity))
        route = self._routes.find(src.identity.zone, dst.identity.zone)
        pair = f"{src.identity.name}>{dst.identity.name}"
        if route is None:
            return Path(0.0, 0.0, 0.0, (), 0.0, True, rules)
        rtt = src.attach_rtt_s + route.rtt_s + dst.attach_rtt_s
        return make_path((*src.up, *route.hops, *dst.down), self._pipes, rtt, rules, pair)

    def _forget_paths(self) -> None:
        for machine in self._machines.values():
            for path in machine.paths.values():
                path.valid = False
            machine.paths.clear()
        for machine in self._machines.values():
            for end in machine.transports:
                end.touch()

    # ------------------------------------------------------------------ faults

    def rule(self, match: PathMatch, *, shape: LinkShape | None = None, cut: bool = False) -> Rule:
        """Change all traffic that fits, of existing connections and of new ones, until `Rule.remove()`."""
        rule = Rule(match, shape, cut, self._drop_rule)
        self._rules[rule] = None
        self._forget_paths()
        return rule

    def _drop_rule(self, rule: Rule) -> None:
        if rule in self._rules:
            del self._rules[rule]
            self._forget_paths()

    def reset(self, match: PathMatch) -> Exposure:
        """Break every connection between the two sets, now, at both ends."""
        broken = 0
        for machine in self._machines.values():
            for end in list(machine.transports):
                if not end.gone and match.matches(machine.identity, end.peer.machine.identity):
                    broken += 1
                    for side in (end, end.peer):
                        side.fail(ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"))
        return Exposure(connections=broken, resets=broken)

    # ------------------------------------------------------------------ connections

    def listen(
        self, factory: Callable[[], asyncio.BaseProtocol], port: int, *, start_serving: bool = True
    ) -> Listener:
        """Listen on the asking process's machine; port 0 picks one."""
        machine = self._here()
        listener = Listener(machine, factory, port or machine.port(), copy_context())
        if start_serving:
            listener.open()
        return listener

    async def connect(self, address: str, port: int) -> SimTransport:
        """The client's end of a new connection, one round trip from now.

        ConnectionRefusedError when nobody listens there; TimeoutError after 127 s of silence.
        """
        src = self._here()
        holders = list(self._names.get(address, ())) if address != "127.0.0.1" else [src]
        dst = holders[0] if holders else None
        if (
            dst is not None
            and self._routes.find(src.identity.zone, dst.identity.zone) is None
            and dst is not src
        ):
            raise OSError(
                errno.ENETUNREACH,
                f"Network is unreachable: no link from {src.identity.zone} to {dst.identity.zone}",
            )
        number = src.connections_made.get(address, 0)
        src.connections_made[address] = number + 1
        stream = f"{self._seed}/{src.identity.name}/{dst.identity.name if dst else address}/{number}"
        wait, counted = _SYN_FIRST_S, False
        for _ in range(_SYN_RETRIES + 1):
            if dst is not None and dst.connected and src.connected:
                forward, back = self.path(src, dst), self.path(dst, src)
                if not (forward.blocked or back.blocked):
                    end = await self._handshake(src, dst, port, stream, forward, back)
                    if end is not None:
                        return end
                    continue
                if not counted:
                    for rule in {**dict.fromkeys(forward.rules), **dict.fromkeys(back.rules)}:
                        if rule.cut:
                            rule.blocked()
                    counted = True
            elif dst is not None and not counted:
                dst.note_blocked()
                counted = True
            await asyncio.sleep(wait)
            wait *= 2
        raise TimeoutError(errno.ETIMEDOUT, f"Connect call failed ('{address}', {port})")

    async def _handshake(
        self, src: Machine, dst: Machine, port: int, stream: str, forward: Path, back: Path
    ) -> SimTransport | None:
        """SYN there, SYN-ACK or RST back. None when one was lost in the world meanwhile."""
        self._connections += 1
        connection = self._connections
        mine = SimTransport(self, src, src.port(), f"{stream}/>", connection)
        theirs = SimTransport(self, dst, port, f"{stream}/<", connection)
        mine.pair(theirs, port)
        theirs.pair(mine, mine.port)
        await asyncio.sleep(mine.travel_s(forward))
        if not dst.connected:
            return None
        refused = port not in dst.listeners
        if refused:
            dst.note_blocked()
        await asyncio.sleep(theirs.travel_s(back))
        for path in (forward, back):
            for rule in path.rules:
                rule.touch(connection, 0)
        if refused or not src.connected:
            raise ConnectionRefusedError(errno.ECONNREFUSED, f"Connect call failed ('{dst.address}', {port})")
        src.transports[mine] = None
        dst.transports[theirs] = None
        arrival = mine.hold_until(self.loop.now_s + forward.latency_s)
        self.at(arrival, self._established, (dst, port, theirs))
        return mine

    def _established(self, _now_s: float, what: tuple[Machine, int, SimTransport]) -> None:
        dst, port, theirs = what
        listener = dst.listeners.get(port)
        if theirs.gone or not dst.connected:
            return
        if listener is None:
            theirs.vanish(reset=True)
        else:
            listener.arrived(theirs)

    def hand_over(self, sock: socket.socket, end: SimTransport) -> None:
        """Let a real, unconnected socket stand for the connection until `taken_over`."""
        self._handed[sock] = end
        weakref.finalize(sock, partial(_abandon, weakref.ref(end))).atexit = False

    def taken_over(self, sock: socket.socket) -> SimTransport:
        end = self._handed.pop(sock, None)
        if end is None:
            raise ValueError("this socket was not connected through sock_connect of this loop")
        return end

    def forget(self, end: SimTransport) -> None:
        """This end is gone: its machine need not know of it any more."""
        end.machine.transports.pop(end, None)

    def forget_if_done(self, end: SimTransport) -> None:
        if end.finished:
            self.forget(end)


def _abandon(reference: weakref.ref[SimTransport]) -> None:
    """The socket was dropped; if nobody took the connection over, close it."""
    end = reference()
    if end is not None and not end.attached:
        end.abort()
