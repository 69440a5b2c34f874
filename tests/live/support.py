"""What live tests share."""

from __future__ import annotations

import functools

import pytest

from harness.live.kernel.probe import missing


@functools.cache
def kernel_lacks() -> str:
    """Why this machine cannot have a kernel network; empty when it can."""
    return "; ".join(missing())


def require_kernel() -> None:
    """Skip, with the reason, where there can be no kernel network."""
    if lacks := kernel_lacks():
        pytest.skip(f"no kernel network here: {lacks}")
