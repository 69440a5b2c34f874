"""Whether Locust is installed; asked before anything imports it."""

from __future__ import annotations

from importlib.util import find_spec


def missing_locust() -> str | None:
    """Why there can be no Locust load on this machine; None when there can."""
    if find_spec("locust") is None:
        return (
            "--load locust: Locust is not installed; install the extra 'load' "
            "(pip install 'streaming-resilience-harness[load]'), or use --load asyncio"
        )
    return None
