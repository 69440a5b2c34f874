"""Adaptive bitrate rules: which rendition next, and when to give a download up. One file each."""

from .bola import GAMMA_P, Bola, BolaBasic
from .careful import Careful
from .fixed import Fixed
from .registry import abr_rule, abr_rules, make_rule
from .rule import Ladder, Progress, Rule
from .throughput import Throughput

__all__ = [
    "GAMMA_P",
    "Bola",
    "BolaBasic",
    "Careful",
    "Fixed",
    "Ladder",
    "Progress",
    "Rule",
    "Throughput",
    "abr_rule",
    "abr_rules",
    "make_rule",
]
