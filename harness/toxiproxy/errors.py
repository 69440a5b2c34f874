"""What can go wrong with an API request: a status and Toxiproxy's own message for it."""

from __future__ import annotations


class ApiError(Exception):
    """A request that is answered with `{"error": message, "status": status}`."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def bad_body(detail: str) -> ApiError:
    """The body is not what the route takes: not JSON, a wrong type, a value out of range."""
    return ApiError(400, f"bad request body: {detail}")


def missing_field(field: str) -> ApiError:
    return ApiError(400, f"missing required field: {field}")


def proxy_not_found() -> ApiError:
    return ApiError(404, "proxy not found")


def proxy_exists() -> ApiError:
    return ApiError(409, "proxy already exists")


def toxic_not_found() -> ApiError:
    return ApiError(404, "toxic not found")


def toxic_exists() -> ApiError:
    return ApiError(409, "toxic already exists")


def invalid_toxic_type() -> ApiError:
    return ApiError(400, "invalid toxic type")


def invalid_stream() -> ApiError:
    return ApiError(400, "stream was invalid, can be either upstream or downstream")


def internal(detail: str) -> ApiError:
    """The network refused: the operating system's reason, in Go's words."""
    return ApiError(500, detail)
