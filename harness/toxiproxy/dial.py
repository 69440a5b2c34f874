"""Connecting to an upstream: at once where its address is a literal one and answers at once, as on loopback."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable
from functools import lru_cache

from harness.toxiproxy.address import (
    Address,
    AddressError,
    avoid_pacing,
    literal_upstream,
    resolve_upstream,
)
from harness.toxiproxy.context import ServerContext

_NONBLOCK = getattr(socket, "SOCK_NONBLOCK", 0)

cached_literal = lru_cache(maxsize=1024)(literal_upstream)


class Dial:
    """One attempt to connect; it calls `on_connected` or `on_failure` once, possibly before it returns.

    `cancel` ends it without a call.
    """

    def __init__(
        self,
        context: ServerContext,
        upstream: str,
        on_connected: Callable[[socket.socket], None],
        on_failure: Callable[[str], None],
    ) -> None:
        self._context = context
        self._on_connected = on_connected
        self._on_failure = on_failure
        self._socket: socket.socket | None = None
        self._fd = -1
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        address = cached_literal(upstream)
        if address is None:
            self._task = context.spawn(self._by_name(upstream), f"dial {upstream}")
        else:
            self._connect(address)

    def cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()
        sock = self._stop_waiting()
        if sock is not None:
            sock.close()

    def _connect(self, address: Address) -> None:
        try:
            sock = upstream_socket(address)
        except OSError as error:
            self._on_failure(str(error))
            return
        try:
            connected = _progress(sock, address) or _progress(sock, address)
        except OSError as error:
            sock.close()
            self._on_failure(str(error))
            return
        if connected:
            self._on_connected(sock)
            return
        self._socket, self._fd = sock, sock.fileno()
        self._context.loop.add_writer(self._fd, self._decided)
        self._timer = self._context.loop.call_later(self._context.dial_timeout_s, self._timed_out)

    def _decided(self) -> None:
        sock = self._stop_waiting()
        assert sock is not None
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            sock.close()
            self._on_failure(os.strerror(code))
        else:
            self._on_connected(sock)

    def _timed_out(self) -> None:
        sock = self._stop_waiting()
        if sock is not None:
            sock.close()
            self._on_failure("timed out")

    def _stop_waiting(self) -> socket.socket | None:
        sock, self._socket = self._socket, None
        if sock is not None:
            self._context.loop.remove_writer(self._fd)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return sock

    async def _by_name(self, upstream: str) -> None:
        try:
            async with asyncio.timeout(self._context.dial_timeout_s):
                sock = await _first_that_accepts(self._context.loop, upstream)
        except (OSError, AddressError) as error:  # a timeout is an OSError
            self._on_failure(str(error) or "timed out")
            return
        self._on_connected(sock)


def upstream_socket(address: Address) -> socket.socket:
    """A non-blocking socket to connect to the address with. Raises OSError."""
    sock = socket.socket(address.family, socket.SOCK_STREAM | _NONBLOCK)
    try:
        if not _NONBLOCK:
            sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if address.loopback:
            avoid_pacing(sock)
    except OSError:
        sock.close()
        raise
    return sock


def _progress(sock: socket.socket, address: Address) -> bool:
    """Connect, or see how far connecting has come: True when it is done. Raises OSError when it failed.

    On loopback the kernel has connected when the first call returns, but only the second one says so.
    """
    code = sock.connect_ex(address.at)
    if code in {0, errno.EISCONN}:
        return True
    if code in {errno.EINPROGRESS, errno.EALREADY, errno.EAGAIN, errno.EINTR}:
        return False
    raise OSError(code, os.strerror(code))


async def _first_that_accepts(loop: asyncio.AbstractEventLoop, upstream: str) -> socket.socket:
    """A socket connected to the first address that accepts. Raises OSError, AddressError."""
    failure: OSError | None = None
    for address in await resolve_upstream(upstream):
        sock = upstream_socket(address)
        try:
            await loop.sock_connect(sock, address.at)
        except OSError as error:
            sock.close()
            failure = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    assert failure is not None
    raise failure
