"""The toxics: one small file each. docs/toxiproxy.md shows how to write another, starting from noop."""

from __future__ import annotations

from harness.toxiproxy.toxics.bandwidth import Bandwidth
from harness.toxiproxy.toxics.base import Behaviour, attribute
from harness.toxiproxy.toxics.latency import Latency
from harness.toxiproxy.toxics.limit_data import LimitData
from harness.toxiproxy.toxics.noop import Noop
from harness.toxiproxy.toxics.reset_peer import ResetPeer
from harness.toxiproxy.toxics.slicer import Slicer
from harness.toxiproxy.toxics.slow_close import SlowClose
from harness.toxiproxy.toxics.timeout import Timeout

__all__ = ["TOXICS", "Behaviour", "attribute"]

TOXICS: dict[str, type[Behaviour]] = {
    toxic.TYPE: toxic
    for toxic in (Noop, Latency, Bandwidth, SlowClose, Timeout, ResetPeer, Slicer, LimitData)
}
"""What the API can add, by the word for it."""
