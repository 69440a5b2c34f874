"""`ConnectionSocket`: what `get_extra_info("socket")` gives for a simulated connection.

Libraries set options on it, ask for its addresses, and poll it to learn whether the other end has closed. It has no
descriptor of its own that data could pass through: reading or writing it is refused.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from functools import cache
from typing import TYPE_CHECKING, Any, NoReturn

from harness.sim.network.addresses import family_of

if TYPE_CHECKING:
    from harness.sim.network.datagram import DatagramEnd
    from harness.sim.network.transport import SimTransport

_LINGER = struct.Struct("ii")


@cache
def _descriptors(process: int) -> tuple[int, int]:
    """Two descriptors for polls: one that has nothing to read, and one that has. They stay open with the process."""
    empty, _ = os.pipe()
    full, writing = os.pipe()
    os.write(writing, b"x")
    os.close(writing)
    return empty, full


class ConnectionSocket:
    """Options are kept, not obeyed, but for SO_LINGER with 0 seconds: then closing the connection resets it."""

    type = socket.SOCK_STREAM

    def __init__(self, end: SimTransport) -> None:
        self._end = end
        self._options: dict[tuple[int, int], int | bytes] = {
            (socket.SOL_SOCKET, socket.SO_TYPE): int(socket.SOCK_STREAM),
            (socket.SOL_SOCKET, socket.SO_ERROR): 0,
        }

    @property
    def family(self) -> socket.AddressFamily:
        return family_of(self._end.address)

    @property
    def proto(self) -> int:
        return 0 if self.family == socket.AF_UNIX else socket.IPPROTO_TCP

    def getsockname(self) -> Any:
        return self._end.sockname

    def getpeername(self) -> Any:
        return self._end.peername

    def setsockopt(self, level: int, option: int, value: Any, size: int | None = None) -> None:
        """Raises TypeError for what is no option value, as the kernel's does."""
        if not isinstance(value, int | bytes | bytearray | memoryview | None):
            raise TypeError(f"a bytes-like object or an integer is required, not {type(value).__name__!r}")
        kept = int(value) if isinstance(value, int) else bytes(value or b"")
        self._options[level, option] = kept
        if (level, option) == (socket.SOL_SOCKET, socket.SO_LINGER) and isinstance(kept, bytes):
            on, seconds = _LINGER.unpack(kept)
            self._end.resets_on_close = bool(on) and seconds == 0

    def getsockopt(self, level: int, option: int, size: int = 0) -> int | bytes:
        value = self._options.get((level, option), b"" if size else 0)
        if size:
            return value[:size] if isinstance(value, bytes) else value.to_bytes(4, "little")[:size]
        return value if isinstance(value, int) else int.from_bytes(value[:4], "little")

    def fileno(self) -> int:
        """A descriptor to poll: it is readable where the connection has something to read, or is over. -1: closed."""
        if self._end.lost or self._end.closing:
            return -1
        empty, full = _descriptors(os.getpid())
        return full if self._end.receiver.readable else empty

    def setblocking(self, flag: bool) -> None:
        if flag:
            raise ValueError("a socket of the event loop cannot block")

    def gettimeout(self) -> float:
        return 0.0

    def close(self) -> None:
        """The transport owns the connection, and closes it."""

    def shutdown(self, how: int) -> None:
        if how in (socket.SHUT_WR, socket.SHUT_RDWR):
            self._end.write_eof()

    def _refuse(self, *_: Any) -> NoReturn:
        raise NotImplementedError(
            "the socket of a simulated connection cannot be read or written; use its transport"
        )

    recv = recv_into = send = sendall = sendto = recvfrom = dup = detach = makefile = _refuse

    def __repr__(self) -> str:
        return f"<simulated connection {self.getsockname()} to {self.getpeername()}>"


class DatagramSocket:
    """What `get_extra_info("socket")` gives for a UDP transport. Options are accepted, not obeyed."""

    type = socket.SOCK_DGRAM
    proto = socket.IPPROTO_UDP

    def __init__(self, end: DatagramEnd) -> None:
        self._end = end

    @property
    def family(self) -> socket.AddressFamily:
        return family_of(self._end.own[0])

    def getsockname(self) -> Any:
        return self._end.get_extra_info("sockname")

    def getpeername(self) -> Any:
        if self._end.remote is None:
            raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")
        return self._end.get_extra_info("peername")

    def setsockopt(self, *_: Any) -> None: ...

    def getsockopt(self, level: int, option: int, size: int = 0) -> int | bytes:
        return bytes(size) if size else 0

    def fileno(self) -> int:
        """-1: it has no descriptor."""
        return -1
