"""The TCP handshake: how a connection comes to be, or does not."""

from __future__ import annotations

import asyncio
import errno
from typing import TYPE_CHECKING

from harness.faults.exposure import Cause
from harness.runtime.causation import current_cause
from harness.sim.network.transport import SimTransport

if TYPE_CHECKING:
    from harness.sim.network.machine import Machine
    from harness.sim.network.network import SimNetwork
    from harness.sim.network.path import Path

# Linux: SYN is repeated after 1 s, doubled, 6 times (net.ipv4.tcp_syn_retries); then ETIMEDOUT after 127 s.
_SYN_FIRST_S = 1.0
_SYN_RETRIES = 6


async def connect(
    network: SimNetwork, src: Machine, dst: Machine | None, address: str, port: int
) -> SimTransport:
    """The client's end of a new connection, one round trip from now. `dst` is None where no machine has the address.

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
                end = await _exchange(network, src, dst, port, stream, forward, back, cause)
                if end is not None:
                    return end
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
    raise TimeoutError(errno.ETIMEDOUT, f"Connect call failed ('{address}', {port})")


async def _exchange(
    network: SimNetwork,
    src: Machine,
    dst: Machine,
    port: int,
    stream: str,
    forward: Path,
    back: Path,
    cause: Cause,
) -> SimTransport | None:
    """SYN there, SYN-ACK or RST back. None when the other machine was powered off meanwhile."""
    network.connections += 1
    connection = network.connections
    mine = SimTransport(network, src, src.next_port(), f"{stream}/>", connection)
    theirs = SimTransport(network, dst, port, f"{stream}/<", connection)
    mine.pair(theirs, port)
    theirs.pair(mine, mine.port)
    mine.sender.cause = cause
    await asyncio.sleep(mine.sender.delays.handshake_s(forward) + forward.queue_s(network.loop.now_s))
    if not dst.connected:
        return None
    refused = port not in dst.listeners
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
        raise ConnectionRefusedError(errno.ECONNREFUSED, f"Connect call failed ('{dst.address}', {port})")
    src.transports[mine] = None
    dst.transports[theirs] = None
    arrival_s = mine.sender.hold_until(network.loop.now_s + forward.latency_s)
    network.at(arrival_s, _establish, (dst, port, theirs))
    return mine


def _establish(_now_s: float, what: tuple[Machine, int, SimTransport]) -> None:
    """The last ACK arrives."""
    dst, port, theirs = what
    listener = dst.listeners.get(port)
    if theirs.gone or not dst.connected:
        return
    if listener is None:
        theirs.vanish(reset=True)
    else:
        listener.accept(theirs)
