"""The toxics, one small file each, and what a toxic of your own needs (docs/toxiproxy.md)."""

from __future__ import annotations

from harness.toxiproxy.chunk import Chunk
from harness.toxiproxy.toxics.base import TIB, YEAR_MS, Behaviour, attribute, text_attribute
from harness.toxiproxy.toxics.stage import Stage

__all__ = ["TIB", "YEAR_MS", "Behaviour", "Chunk", "Stage", "attribute", "text_attribute"]
