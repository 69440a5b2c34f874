"""The kinds of SLO that a file of SLOs may hold. The first one explains what an SLO of no kind lacks."""

from __future__ import annotations

from harness.sli.base import Slo
from harness.sli.percentile import PercentileSlo
from harness.sli.ratio import RatioSlo

SLO_KINDS: tuple[type[Slo], ...] = (RatioSlo, PercentileSlo)
