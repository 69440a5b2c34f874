"""Every test that takes `testbed` runs in both."""

from __future__ import annotations

import pytest

from tests.conformance.testbeds import Loopback, Simulated, Testbed


@pytest.fixture(
    params=[
        pytest.param(Loopback, id="loopback", marks=pytest.mark.live),
        pytest.param(Simulated, id="simulated"),
    ]
)
def testbed(request: pytest.FixtureRequest) -> Testbed:
    made: Testbed = request.param()
    return made
