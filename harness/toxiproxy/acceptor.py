"""The listening socket of a proxy: accepts clients, or leaves their connects without an answer."""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
import struct
from collections.abc import Callable

from harness.toxiproxy.address import BACKLOG, Address, describe_os_error, listening_socket, local_address
from harness.toxiproxy.context import ServerContext
from harness.toxiproxy.descriptors import DESCRIPTORS

_MAX_ACCEPTS = 64  # in one turn: a storm of connects leaves the loop some time
_OUT_OF_SOCKETS = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_PAUSE_S = 0.1

_SO_MEMINFO = 55
_MEMINFO = struct.Struct("=9I")
_DROPS = 8
"""From <asm-generic/socket.h> and <linux/sock_diag.h> (SK_MEMINFO_DROPS); a listening socket counts dropped SYNs."""

log = logging.getLogger("harness.toxiproxy")


class Acceptor:
    """Listens at once. Raises OSError when it cannot.

    Args:
        on_client: called with every client that was accepted.
        reserved: a socket that has that address already (`bound`).
    """

    def __init__(
        self,
        context: ServerContext,
        address: Address,
        on_client: Callable[[socket.socket], None],
        reserved: socket.socket | None = None,
    ) -> None:
        self._loop = context.loop
        self._descriptors = context.descriptors
        self._on_client = on_client
        if reserved is not None:
            reserved.listen(BACKLOG)
        self._socket = listening_socket(address) if reserved is None else reserved
        self._filler_socket: socket.socket | None = None
        self._own_addresses: set[tuple[str, int]] = set()
        """Where our own connections came from."""
        self._closed = False
        self._batch = 1
        """How many clients to accept in the next turn."""
        self.address = local_address(self._socket)
        """Where it listens, as text."""
        self._loop.add_reader(self._socket.fileno(), self._acceptable)

    @property
    def answering(self) -> bool:
        """False: connects get no answer, as if nobody were there."""
        return self._filler_socket is None

    @answering.setter
    def answering(self, answering: bool) -> None:
        if answering and self._filler_socket is not None:
            self._filler_socket.close()  # it is accepted all the same, and known by where it came from
            self._filler_socket = None
            self._socket.listen(BACKLOG)
            self._loop.add_reader(self._socket.fileno(), self._acceptable)
        elif not answering and self._filler_socket is None:
            self._loop.remove_reader(self._socket.fileno())
            # A full accept queue makes the kernel drop SYNs (Linux, tcp_conn_request): its length becomes 1, and
            # one connection of our own fills it. Retransmitted SYNs get through once there is room again.
            self._socket.listen(0)
            self._filler_socket = self._filler()

    @property
    def unanswered(self) -> int:
        """How many connects (SYNs, those sent again included) the kernel has dropped here; 0 where it does not say."""
        try:
            found = self._socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size)
        except OSError:
            return 0
        return int(_MEMINFO.unpack(found)[_DROPS]) if len(found) == _MEMINFO.size else 0

    def close(self) -> None:
        """Connects are refused from now on."""
        self._closed = True
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()
        if self._filler_socket is not None:
            self._filler_socket.close()

    def _filler(self) -> socket.socket:
        host, port = self._socket.getsockname()[:2]
        sock = socket.socket(self._socket.family)
        sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):  # the queue is full without it
            sock.connect((host, port))  # to an any-address: this machine
        self._own_addresses.add(sock.getsockname()[:2])
        return sock

    def _acceptable(self) -> None:
        # One more accept than there are clients costs a system call each time: more at once only in a storm.
        number, self._batch = self._batch, 1
        for _ in range(number):
            if self._closed or self._filler_socket is not None:
                return
            if not self._descriptors.take(DESCRIPTORS):
                log.warning("%s: accepting pauses: too many open files", self.address)
                self._loop.remove_reader(self._socket.fileno())
                self._descriptors.when_free(self._accept_again)
                return
            try:
                client, peer = self._socket.accept()
            except (BlockingIOError, InterruptedError):
                self._descriptors.free += DESCRIPTORS
                return
            except ConnectionAbortedError:
                self._descriptors.free += DESCRIPTORS
                continue
            except OSError as error:
                self._descriptors.free += DESCRIPTORS
                if error.errno not in _OUT_OF_SOCKETS:
                    raise
                log.warning("%s: cannot accept: %s", self.address, describe_os_error(error))
                self._loop.remove_reader(self._socket.fileno())
                self._loop.call_later(_PAUSE_S, self._accept_again)
                return
            if peer[:2] in self._own_addresses:
                self._own_addresses.discard(peer[:2])
                client.close()
                self._descriptors.free += DESCRIPTORS
                continue
            client.setblocking(False)
            self._on_client(client)
        self._batch = min(2 * number, _MAX_ACCEPTS)

    def _accept_again(self) -> None:
        if not self._closed and self._filler_socket is None:
            self._loop.add_reader(self._socket.fileno(), self._acceptable)
