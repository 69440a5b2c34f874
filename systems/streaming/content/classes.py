"""Network classes: how viewers are connected, and how many of them.

Design values. Rates and round
trips are drawn once a viewer. Loss is what is left for TCP to see after the radio's own retransmission.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from harness.system import Access


@dataclass(frozen=True, slots=True)
class NetworkClass:
    """Ranges from which a viewer's access link is drawn: bit/s (log-uniform), seconds (uniform)."""

    name: str
    share: float
    down_bps: tuple[float, float]
    up_bps: float
    rtt_s: tuple[float, float]
    jitter_s: float
    loss: float

    def access(self, rng: random.Random) -> Access:
        low, high = self.down_bps
        down = math.exp(rng.uniform(math.log(low), math.log(high)))
        return Access(
            down_bps=round(down),
            up_bps=self.up_bps,
            rtt_s=rng.uniform(*self.rtt_s),
            jitter_s=self.jitter_s,
            loss=self.loss,
        )


CLASSES = (
    NetworkClass("fibre", 0.45, (50e6, 300e6), 20e6, (0.008, 0.025), 0.001, 0.0),
    NetworkClass("dsl", 0.15, (8e6, 25e6), 2e6, (0.025, 0.045), 0.002, 0.0002),
    NetworkClass("4g", 0.22, (15e6, 60e6), 10e6, (0.025, 0.050), 0.005, 0.0005),
    NetworkClass("4g-congested", 0.08, (2e6, 6e6), 1e6, (0.050, 0.090), 0.010, 0.001),
    NetworkClass("3g", 0.06, (0.7e6, 1.8e6), 0.5e6, (0.080, 0.150), 0.015, 0.001),
)

BY_NAME = {network.name: network for network in CLASSES}
