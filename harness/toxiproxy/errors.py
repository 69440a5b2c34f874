"""The errors of the server, and the status and Toxiproxy's own message of those that answer an API request."""

from __future__ import annotations

from collections.abc import Sequence

from harness.errors import HarnessError


class ServerStateError(HarnessError):
    """A ToxiproxyServer is used while it does not run, or entered twice."""


class ToxicError(HarnessError):
    """A toxic breaks the rules of its interface."""


class InvalidAttributes(HarnessError):
    """Attributes of a toxic are out of range. `problems` has a sentence for each mistake."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


class ApiError(HarnessError):
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
