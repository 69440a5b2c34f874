"""Bytes through the proxies, counted while they pass, and their Prometheus text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(slots=True)
class Meter:
    """Bytes of one direction of one proxy: read from the sending side, written to the receiving one."""

    received_bytes: int = 0
    sent_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Labels:
    direction: str
    listener: str
    proxy: str
    upstream: str


class Metrics:
    """The meters of a server, and which of them `/metrics` shows.

    Args:
        proxies: show the bytes of every proxy (`-proxy-metrics`).
        runtime: show this process: memory, descriptors, garbage collection (`-runtime-metrics`).
    """

    def __init__(self, *, proxies: bool, runtime: bool) -> None:
        self._show_proxies = proxies
        self._show_runtime = runtime
        self._meters: dict[Labels, Meter] = {}

    @property
    def enabled(self) -> bool:
        return self._show_proxies or self._show_runtime

    def meter(self, labels: Labels) -> Meter:
        """The meter of these labels; it appears in the text from its first connection on."""
        return self._meters.setdefault(labels, Meter())

    def text(self) -> bytes:
        """The Prometheus exposition, format 0.0.4."""
        # Imported here: a server whose metrics are never asked for does not pay for it at start.
        from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
        from prometheus_client.exposition import generate_latest

        registry = CollectorRegistry()
        if self._show_proxies:
            registry.register(_ProxyCollector(self._meters))
        if self._show_runtime:
            ProcessCollector(registry=registry)
            PlatformCollector(registry=registry)
            GCCollector(registry=registry)
        return generate_latest(registry)


class _ProxyCollector:
    def __init__(self, meters: dict[Labels, Meter]) -> None:
        self._meters = meters

    def collect(self) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily

        names = ["direction", "listener", "proxy", "upstream"]
        received = CounterMetricFamily(
            "toxiproxy_proxy_received_bytes", "Bytes read from the sending side.", labels=names
        )
        sent = CounterMetricFamily(
            "toxiproxy_proxy_sent_bytes", "Bytes written to the receiving side.", labels=names
        )
        for labels, meter in self._meters.items():
            values = [labels.direction, labels.listener, labels.proxy, labels.upstream]
            received.add_metric(values, meter.received_bytes)
            sent.add_metric(values, meter.sent_bytes)
        yield received
        yield sent
