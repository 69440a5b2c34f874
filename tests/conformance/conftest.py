"""Every test that takes `world` runs in both."""

from __future__ import annotations

import pytest

from tests.conformance.worlds import Loopback, Simulated, World


@pytest.fixture(
    params=[
        pytest.param(Loopback, id="loopback", marks=pytest.mark.live),
        pytest.param(Simulated, id="simulated"),
    ]
)
def world(request: pytest.FixtureRequest) -> World:
    made: World = request.param()
    return made
