"""Who caused what some code does: a client whose request is under way, or a service by itself (`Cause`).

A context variable, so tasks inherit it from the code that makes them. What handles a request has the cause of the
request; what it asks of others has it too. A background loop has none: what it sends is attributed by `cause_of_own`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar

from harness.faults.exposure import Cause

_cause: ContextVar[Cause | None] = ContextVar("harness_cause", default=None)

HEADER = "Harness-Cause"
"""The header by which live hosts tell each other the cause of a request. In virtual time there is none."""

HEALTH_CHECKS = frozenset(
    (
        "alive",
        "health",
        "healthz",
        "heartbeat",
        "live",
        "livez",
        "metrics",
        "ping",
        "ready",
        "readyz",
        "status",
    )
)
"""Last parts of the paths of health checks."""


def current_cause() -> Cause | None:
    """The cause of what the calling code does; None where a service does it by itself."""
    return _cause.get()


def set_cause(cause: Cause | None) -> None:
    """For the calling context. None: a service does it by itself."""
    _cause.set(cause)


def set_cause_in(context: Context, cause: Cause) -> None:
    """For another context, which must not be entered while its value differs."""
    if context.get(_cause) is not cause:
        context.run(_cause.set, cause)


@contextmanager
def health_check() -> Iterator[None]:
    """What a service does by itself in the block is a health check."""
    token = _cause.set(Cause.BACKGROUND)
    try:
        yield
    finally:
        _cause.reset(token)


def note_record() -> None:
    """The calling code records a row in a table of the system. Where a service does so by itself, it does work that is
    judged, and so is what it sends from then on."""
    if _cause.get() is None:
        _cause.set(Cause.UNATTRIBUTED)


def cause_of_own(serves_clients: bool, path: str = "") -> Cause:
    """The cause of a request that a service makes by itself. `serves_clients`: whether its node has had requests that
    clients caused. `path`: of an HTTP request, else empty."""
    if not serves_clients or is_health_check(path):
        return Cause.BACKGROUND
    return Cause.UNATTRIBUTED


def is_health_check(path: str) -> bool:
    return path.partition("?")[0].rstrip("/").rpartition("/")[2].lstrip("_").lower() in HEALTH_CHECKS


def path_of(data: bytes) -> str:
    """The path of the HTTP request that these bytes begin with; empty for anything else."""
    line = data[:256].partition(b"\r\n")[0].split(b" ")
    return line[1].decode("latin-1") if len(line) > 2 and line[2].startswith(b"HTTP/") else ""
