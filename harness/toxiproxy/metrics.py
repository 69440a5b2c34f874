"""Bytes through the proxies, counted while they pass, and their Prometheus text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(slots=True)
class Meter:
    """Bytes of one direction of one proxy: read from the sending side, written to the receiving one."""

    received_bytes: int = 0
    sent_bytes: int = 0

    def add(self, other: Meter) -> None:
        self.received_bytes += other.received_bytes
        self.sent_bytes += other.sent_bytes


@dataclass(slots=True)
class Traffic:
    """What went through one proxy at one address to one upstream."""

    upstream: Meter = field(default_factory=Meter)
    """From the clients to the upstream."""
    downstream: Meter = field(default_factory=Meter)
    accepted: int = 0
    open: int = 0
    upstream_failed: int = 0
    """Connections whose upstream refused, did not resolve or did not answer in time."""


class Labels(NamedTuple):
    listener: str
    proxy: str
    upstream: str


class Metrics:
    """The meters of a server, and which of them `/metrics` shows.

    Args:
        proxies: show the bytes of every proxy (`-proxy-metrics`).
        runtime: show this process: memory, descriptors, garbage collection (`-runtime-metrics`).
        ours: also show what Toxiproxy does not have.
    """

    def __init__(self, *, proxies: bool, runtime: bool, ours: bool = True) -> None:
        self._ours = ours
        self._show_proxies = proxies
        self._show_runtime = runtime
        self._traffic: dict[Labels, Traffic] = {}

    @property
    def enabled(self) -> bool:
        return self._show_proxies or self._show_runtime

    def traffic(self, labels: Labels) -> Traffic:
        """The counters of these labels; they appear in the text from their first connection on."""
        return self._traffic.setdefault(labels, Traffic())

    def so_far(self, labels: Labels) -> Traffic:
        """The counters of these labels, without making them appear."""
        return self._traffic.get(labels) or Traffic()

    def text(self) -> bytes:
        """The Prometheus exposition, format 0.0.4."""
        # Imported here: a server whose metrics are never asked for does not pay for it at start.
        from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
        from prometheus_client.exposition import generate_latest

        registry = CollectorRegistry()
        if self._show_proxies:
            registry.register(_ProxyCollector(self._traffic, self._ours))
        if self._show_runtime:
            ProcessCollector(registry=registry)
            PlatformCollector(registry=registry)
            GCCollector(registry=registry)
        return generate_latest(registry)


class _ProxyCollector:
    def __init__(self, traffic: dict[Labels, Traffic], ours: bool) -> None:
        self._traffic = traffic
        self._ours = ours

    def collect(self) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        def counter(name: str, text: str, *more: str) -> Any:
            return CounterMetricFamily(f"toxiproxy_proxy_{name}", text, labels=[*more, *Labels._fields])

        received = counter("received_bytes", "Bytes read from the sending side.", "direction")
        sent = counter("sent_bytes", "Bytes written to the receiving side.", "direction")
        accepted = counter("connections_accepted", "Connections accepted.")
        failed = counter("connections_upstream_failed", "Connections whose upstream could not be reached.")
        now = GaugeMetricFamily(
            "toxiproxy_proxy_connections_open", "Connections open now.", labels=[*Labels._fields]
        )
        for labels, traffic in self._traffic.items():
            for direction, meter in (("upstream", traffic.upstream), ("downstream", traffic.downstream)):
                received.add_metric([direction, *labels], meter.received_bytes)
                sent.add_metric([direction, *labels], meter.sent_bytes)
            accepted.add_metric(labels, traffic.accepted)
            failed.add_metric(labels, traffic.upstream_failed)
            now.add_metric(labels, traffic.open)
        yield from (received, sent, accepted, failed, now) if self._ours else (received, sent)
