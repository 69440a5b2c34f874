"""Faults in the bodies of HTTP responses, between the handler of a service and the connection."""

from __future__ import annotations

from typing import Any

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from harness.faults.primitives import BodyFault

REPLACEMENT = (
    "<!doctype html><html><head><title>Error</title></head>"
    "<body><h1>Something went wrong</h1><p>Injected fault.</p></body></html>"
)
"""The page that `replaced` sends with status 200."""

CORRUPT_EVERY_BYTES = 1024
"""`corrupt` inverts the first byte of every block of this size."""


def spoil_body(request: web.BaseRequest, response: web.StreamResponse, fault: BodyFault) -> None:
    """Apply the fault to the body of a response whose headers are prepared and not yet sent.

    Bodies without a Content-Length lose the half of their first block and all that follows.
    """
    n_bytes = response.content_length
    keep = None if n_bytes is None else n_bytes // 2
    writer = response._payload_writer
    assert writer is not None
    if fault == "short" and keep is not None:
        response.headers["Content-Length"] = str(keep)
        writer.length = keep
    if isinstance(response, web.FileResponse):
        # With compression on, aiohttp sends the file through the writer, not with sendfile. Headers are prepared.
        response._compression = True
    if fault == "cut":
        response.force_close()
    # aiohttp keeps the writer of a response in more than one place.
    spoiled = _Body(request, writer, fault, keep)
    vars(writer).update(write=spoiled.write, write_eof=spoiled.write_eof)


class _Body:
    """The body of one response with a fault. `keep`: bytes that are sent; None: half of the first block."""

    def __init__(
        self, request: web.BaseRequest, writer: AbstractStreamWriter, fault: BodyFault, keep: int | None
    ) -> None:
        self._request = request
        self._writer = writer
        self._write, self._write_eof = writer.write, writer.write_eof
        self._fault = fault
        self._left = keep
        self._sent = 0
        self._over = False

    async def write(self, chunk: bytes, **options: Any) -> None:
        if data := self._spoil(bytes(chunk)):
            await self._write(data, **options)
        if self._fault == "cut" and self._left == 0:
            await self._close()

    async def write_eof(self, chunk: bytes = b"") -> None:
        if self._fault == "cut":
            await self.write(chunk)
            await self._close()
        else:
            await self._write_eof(self._spoil(bytes(chunk)))

    def _spoil(self, data: bytes) -> bytes:
        if self._fault == "corrupt":
            wrong = bytearray(data)
            for at in range(-self._sent % CORRUPT_EVERY_BYTES, len(wrong), CORRUPT_EVERY_BYTES):
                wrong[at] ^= 0xFF
            self._sent += len(data)
            return bytes(wrong)
        if self._left is None and data:
            self._left = len(data) // 2
        data = data[: self._left or 0]
        if self._left is not None:
            self._left -= len(data)
        return data

    async def _close(self) -> None:
        if self._over:
            return
        self._over = True
        self._writer.send_headers()
        await self._writer.drain()
        if self._request.transport is not None:
            self._request.transport.close()
