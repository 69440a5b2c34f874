"""Every HTTP request of a client, from the call to the last byte of the answer, from aiohttp's own hooks."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import aiohttp

from harness.system import Clock

type Record = Callable[[dict[str, Any]], None]
"""Takes the fields of a `harness.workload.records.LoadRequest`, except those of the client and its process."""

CUT_OFF = "cut off"
"""The client was cancelled, or cancelled the request: its own time limit, or the end of the run."""

CLOSED = "Connection closed"
"""The message of aiohttp's error on an answer that its reader closes."""


class RequestTrace:
    """`config` goes into the client's sessions; `record` is called once for every request that starts."""

    def __init__(self, clock: Clock, record: Record) -> None:
        self._clock = clock
        self._record = record
        self.config = aiohttp.TraceConfig()
        self.config.on_request_start.append(self._on_start)
        self.config.on_request_end.append(self._on_answer)
        self.config.on_request_exception.append(self._on_exception)

    async def _on_start(self, _session: Any, context: SimpleNamespace, _: Any) -> None:
        context.started_s = self._clock.now()

    async def _on_exception(
        self, _session: Any, context: SimpleNamespace, failed: aiohttp.TraceRequestExceptionParams
    ) -> None:
        self._end(context, failed, None, describe_failure(failed.exception))

    async def _on_answer(
        self, _session: Any, context: SimpleNamespace, answered: aiohttp.TraceRequestEndParams
    ) -> None:
        response = answered.response
        context.first_byte_s = self._clock.now() - context.started_s
        connection = response.connection
        if connection is None:  # a short answer: its body came with the headers
            self._end(context, answered, response, None)
        else:
            # Called when the answer returns its connection or closes it, whichever way it ends.
            connection.add_callback(lambda: self._end(context, answered, response, _failure_of(response)))

    def _end(
        self,
        context: SimpleNamespace,
        request: Any,
        response: aiohttp.ClientResponse | None,
        error: str | None,
    ) -> None:
        now_s = self._clock.now()
        content = None if response is None else response.content
        self._record(
            {
                "t_s": now_s,
                "target": request.url.host or "",
                "method": request.method,
                "path": request.url.raw_path_qs,
                "status": 0 if response is None else response.status,
                "started_at_s": context.started_s,
                "first_byte_s": getattr(context, "first_byte_s", None),
                "latency_s": now_s - context.started_s,
                "bytes": 0 if content is None else content.total_raw_bytes,
                "complete": content is not None and error is None and content.is_eof(),
                "error": error,
            }
        )


def _failure_of(response: aiohttp.ClientResponse) -> str | None:
    """Why an answer ended before its end; None when it did not, or when its reader wanted no more of it."""
    error = response.content.exception()
    if isinstance(error, aiohttp.ClientConnectionError) and str(error) == CLOSED:
        # Closed by the reader: because it was cancelled (a timeout of its own), or by choice.
        error = sys.exception()
    return None if error is None else describe_failure(error)


def describe_failure(error: BaseException) -> str:
    if isinstance(error, asyncio.CancelledError):
        return CUT_OFF
    if isinstance(error, TimeoutError):
        return "timeout"
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
