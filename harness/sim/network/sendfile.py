"""`loop.sendfile` over a simulated connection: as fast as the connection takes it."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from harness.sim.network.transport import SimTransport

PIECE_BYTES = 256 * 1024
"""asyncio's own fallback reads as much at a time."""


async def send_file(transport: SimTransport, file: Any, offset: int, count: int | None) -> int:
    """How many bytes were sent. ConnectionError where the connection is lost before the end.

    As in asyncio the position of the file is then behind the last byte that was sent.
    """
    if "b" not in getattr(file, "mode", "b"):
        raise ValueError("file should be opened in binary mode")
    if count is not None and (not isinstance(count, int) or count <= 0):
        raise ValueError(f"count must be a positive integer (got {count!r})")
    if hasattr(file, "seek"):
        file.seek(offset)
    flow = _FlowControl(transport)
    sent = 0
    try:
        while count is None or sent < count:
            await flow.writable()
            piece = file.read(PIECE_BYTES if count is None else min(PIECE_BYTES, count - sent))
            if not piece:
                break
            transport.write(piece)
            sent += len(piece)
    finally:
        if hasattr(file, "seek"):
            file.seek(offset + sent, os.SEEK_SET)
        flow.restore()
    return sent


class _FlowControl(asyncio.Protocol):
    """Stands in for the protocol while the file is sent, so that it can wait for the connection."""

    def __init__(self, transport: SimTransport) -> None:
        self._transport = transport
        self._protocol = transport.get_protocol()
        self._was_reading = transport.is_reading()
        self._wait: asyncio.Future[None] | None = None
        self._lost = False
        transport.pause_reading()
        transport.set_protocol(self)
        if transport.get_write_buffer_size() > transport.get_write_buffer_limits()[1]:
            self.pause_writing()

    async def writable(self) -> None:
        if self._lost or self._transport.is_closing():
            raise ConnectionError("Connection closed by peer")
        if self._wait is not None:
            await self._wait

    def pause_writing(self) -> None:
        if self._wait is None:
            self._wait = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        wait, self._wait = self._wait, None
        if wait is not None and not wait.done():
            wait.set_result(None)

    def data_received(self, data: bytes) -> None:
        raise RuntimeError("Invalid state: reading should be paused")

    def connection_lost(self, error: Exception | None) -> None:
        self._lost = True
        if self._wait is not None and not self._wait.done():
            self._wait.set_exception(
                ConnectionError("Connection is closed by peer") if error is None else error
            )
        self._protocol.connection_lost(error)

    def restore(self) -> None:
        """Give the connection back to its protocol."""
        if self._lost:
            return
        self._transport.set_protocol(self._protocol)
        if self._was_reading:
            self._transport.resume_reading()
        if self._wait is not None:
            self._protocol.pause_writing()
