"""What every appliance does: find a segment's size, and write its body, by reference and within a limit."""

from __future__ import annotations

from aiohttp import web

from ..content.catalogue import segment_blocks, segment_bytes
from ..resilience.bulkhead import Bulkhead, BulkheadFull
from ..web import HttpError

ROUTE = "/v/{title}/{rendition}/{segment}"

type Key = tuple[str, int, int]
"""Title, rendition, segment."""


def segment_key(request: web.Request) -> Key:
    """Raises HttpError 404 when it does not name a segment."""
    info = request.match_info
    try:
        return info["title"], int(info["rendition"]), int(info["segment"])
    except ValueError as error:
        raise HttpError(404, f"no segment '{request.path}'") from error


def size_of(key: Key) -> int:
    """Bytes of the segment. Raises HttpError 404 when there is none."""
    try:
        return segment_bytes(*key)
    except (LookupError, ValueError) as error:
        raise HttpError(404, f"no segment {'/'.join(map(str, key))}") from error


class Sender:
    """Writes segment bodies, at most `limit` at a time; beyond, 503 at once (DP-04)."""

    def __init__(self, served_by: str, limit: int | None) -> None:
        self._served_by = served_by
        self._places = None if limit is None else Bulkhead(served_by, limit)
        self._active = 0
        self._capacity = limit or 1000

    @property
    def load(self) -> float:
        """Transfers in flight of what the appliance is built for."""
        return self._active / self._capacity

    async def send(self, request: web.Request, n_bytes: int, cache: str) -> web.StreamResponse:
        """The whole response. Raises HttpError 503 when the appliance is full."""
        if self._places is None:
            return await self._send(request, n_bytes, cache)
        try:
            with self._places:
                return await self._send(request, n_bytes, cache)
        except BulkheadFull as error:
            raise HttpError(503, str(error), retry_after_s=1) from error

    async def _send(self, request: web.Request, n_bytes: int, cache: str) -> web.StreamResponse:
        response = web.StreamResponse(
            headers={
                "X-Served-By": self._served_by,
                "X-Cache": cache,
                "Content-Type": "video/mp4",
                "Content-Length": str(n_bytes),
            }
        )
        self._active += 1
        try:
            await response.prepare(request)
            for block in segment_blocks(n_bytes):
                await response.write(block)
            await response.write_eof()
        except ConnectionError:
            # The viewer has gone, or wants another rendition: no business of the appliance.
            pass
        finally:
            self._active -= 1
        return response
