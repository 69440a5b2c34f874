"""Whether a client caused what some code does: a request under way, or a loop that a service runs by itself.

A context variable, so tasks inherit it from the code that makes them. What handles a request has the cause of the
request; what it asks of others has it too. A background loop has none. A background task that records a row in a table
of the system does work that is judged, so what it does from then on counts as caused by clients.
"""

from __future__ import annotations

from contextvars import Context, ContextVar

_caused: ContextVar[bool | None] = ContextVar("harness_caused_by_client", default=None)

HEADER = "Harness-Caused"
"""The header by which live hosts tell each other that a client caused a request. In virtual time there is none."""


def is_caused() -> bool:
    """Whether a client caused what the calling code does."""
    return bool(_caused.get())


def set_caused(caused: bool | None) -> None:
    """For the calling context. None: a service does it by itself; False: it handles a request that no client caused."""
    _caused.set(caused)


def set_caused_in(context: Context, caused: bool) -> None:
    """For another context, which must not be entered while its value differs."""
    if context.get(_caused) is not caused:
        context.run(_caused.set, caused)


def note_record() -> None:
    """The calling code records a row: by itself, and then it does work that is judged; or for a request."""
    if _caused.get() is None:
        _caused.set(True)
