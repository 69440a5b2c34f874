"""What the services' HTTP handlers share: JSON answers, errors as `{"error": ...}`, query parameters."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from .control.tokens import InvalidToken, bearer
from .resilience.deadline import DeadlineExceeded


class HttpError(Exception):
    """The request is answered with this status and `{"error": message}`."""

    def __init__(
        self, status: int, message: str, *, retry_after_s: int | None = None, cache: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after_s = retry_after_s
        self.cache = cache

    def response(self) -> web.Response:
        answer = json_response({"error": str(self)}, self.status)
        if self.retry_after_s is not None:
            answer.headers["Retry-After"] = str(self.retry_after_s)
        if self.cache is not None:
            answer.headers["X-Cache"] = self.cache
        return answer


def json_response(data: Any, status: int = 200) -> web.Response:
    return raw_json(json.dumps(data, separators=(",", ":")).encode(), status)


def raw_json(body: bytes, status: int = 200) -> web.Response:
    """A JSON body that is already encoded."""
    return web.Response(body=body, status=status, content_type="application/json")


@web.middleware
async def errors_as_json(request: web.Request, handler: Any) -> web.StreamResponse:
    """Also for aiohttp's own 404 and 405."""
    try:
        answer: web.StreamResponse = await handler(request)
    except HttpError as error:
        return error.response()
    except DeadlineExceeded as error:
        return json_response({"error": str(error)}, 504)
    except web.HTTPException as error:
        return json_response({"error": error.reason}, error.status)
    return answer


def query(request: web.Request, name: str) -> str:
    """A query parameter. Raises HttpError 400 when it is missing."""
    value = request.query.get(name)
    if not value:
        raise HttpError(400, f"the query parameter '{name}' is missing")
    return value


async def json_field(request: web.Request, name: str) -> str:
    """A string field of the JSON body. Raises HttpError 400 when it is not there."""
    try:
        body = await request.json()
    except ValueError as error:
        raise HttpError(400, f"the body is not JSON: {error}") from error
    value = body.get(name) if isinstance(body, dict) else None
    if not isinstance(value, str) or not value:
        raise HttpError(400, f"the body needs a string field '{name}'")
    return value


def bearer_token(request: web.Request) -> str:
    """The access token of a request. Raises HttpError 401 when there is none."""
    try:
        return bearer(request.headers.get("Authorization"))
    except InvalidToken as error:
        raise HttpError(401, str(error)) from error
