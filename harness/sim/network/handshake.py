"""The TCP handshake: how a connection comes to be, or does not."""

from __future__ import annotations

import asyncio
import errno
from typing import TYPE_CHECKING

from harness.faults.exposure import Cause
from harness.runtime.causation import current_cause
from harness.sim.network.addresses import UNIX, socket_name
from harness.sim.network.transport import SimTransport

if TYPE_CHECKING:
    from harness.sim.network.machine import Machine
    from harness.sim.network.network import SimNetwork
    from harness.sim.network.path import Path

# Linux: SYN is repeated after 1 s, doubled, 6 times (net.ipv4.tcp_syn_retries); then ETIMEDOUT after 127 s.
_SYN_FIRST_S = 1.0
_SYN_RETRIES = 6


async def connect(
    network: SimNetwork,
    src: Machine,
    dst: Machine | None,
    address: str,
    port: int,
    local: tuple[str, int] | None = None,
) -> SimTransport:
    """The client's end of a new connection, one round trip from now. `dst` is None where no machine has the address.

    `local`: the address and port to connect from; port 0: any. OSError when that is in use, or all ports are.
    ConnectionRefusedError when nothing listens there; TimeoutError after 127 s of silence.
    """
    number = src.connections_made.get(address, 0)
    src.connections_made[address] = number + 1
    stream = f"{network.seed}/{src.identity.name}/{dst.identity.name if dst else address}/{number}"
    wait, counted = _SYN_FIRST_S, False
    cause = Cause.CLIENT if src.identity.group is not None else src.own_cause(current_cause())
    for _ in range(_SYN_RETRIES + 1):
        if dst is not None and dst.connected and src.connected:
            forward, back = network.path(src, dst), network.path(dst, src)
            if not (forward.blocked or back.blocked):
                mine = _make_ends(network, src, dst, (address, port), local, stream)
                mine.sender.cause = cause
                established = False
                try:
                    established = await _exchange(network, mine, forward, back)
                finally:
                    if not established:
                        network.free_port(mine)
                if established:
                    return mine
                continue
            if not counted:
                cuts = (*forward.cutting, *back.cutting)
                cut = min(cuts, key=lambda each: each.since_s, default=None)
                if cut is None or dst.stopped_before(cut.since_s):
                    dst.note_blocked(cause)
                else:
                    cut.effects.block(cause)
                counted = True
        elif dst is not None and not counted:
            dst.note_blocked(cause)
            counted = True
        await asyncio.sleep(wait)
        wait *= 2
    raise TimeoutError(errno.ETIMEDOUT, f"Connect call failed {socket_name(address, port)!r}")


def _make_ends(
    network: SimNetwork,
    src: Machine,
    dst: Machine,
    remote: tuple[str, int],
    local: tuple[str, int] | None,
    stream: str,
) -> SimTransport:
    """Both ends of a new connection; the client's is returned."""
    address, port = remote
    unix = address.startswith(UNIX)
    own, wanted = local or (src.own_address(address), 0)
    number = 0 if unix else src.take_port(remote, wanted)
    network.connections += 1
    mine = SimTransport(network, src, number, f"{stream}/>", network.connections)
    theirs = SimTransport(network, dst, port, f"{stream}/<", network.connections)
    mine.address, theirs.address = own, address
    mine.remote = None if unix else remote
    mine.pair(theirs, port)
    theirs.pair(mine, number)
    return mine


async def _exchange(network: SimNetwork, mine: SimTransport, forward: Path, back: Path) -> bool:
    """SYN there, SYN-ACK or RST back. False when the other machine was powered off meanwhile."""
    theirs, cause, connection = mine.peer, mine.sender.cause, mine.connection
    src, dst = mine.machine, theirs.machine
    await asyncio.sleep(mine.sender.delays.handshake_s(forward) + forward.queue_s(network.loop.now_s))
    if not dst.connected:
        return False
    refused = dst.find_listener(theirs.address, theirs.port) is None
    if refused:
        dst.note_blocked(cause)
    await asyncio.sleep(theirs.sender.delays.handshake_s(back) + back.queue_s(network.loop.now_s))
    for path, delays in ((forward, mine.sender.delays), (back, theirs.sender.delays)):
        for impairment in path.delaying:
            impairment.effects.delay(connection, 0, cause)
        if delays.lost:
            for impairment in path.losing:
                if impairment.loses(path):
                    impairment.effects.lose(connection, 0, cause)
                    break
    if refused or not src.connected:
        raise ConnectionRefusedError(
            errno.ECONNREFUSED, f"Connect call failed {socket_name(theirs.address, theirs.port)!r}"
        )
    src.transports[mine] = None
    dst.transports[theirs] = None
    arrival_s = mine.sender.hold_until(network.loop.now_s + forward.latency_s)
    network.at(arrival_s, _establish, theirs)
    return True


def _establish(_now_s: float, theirs: SimTransport) -> None:
    """The last ACK arrives."""
    dst = theirs.machine
    if theirs.gone or not dst.connected:
        return
    listener = dst.find_listener(theirs.address, theirs.port)
    if listener is None:
        theirs.vanish(reset=True)
    else:
        listener.accept(theirs)
