"""The reference streaming service as a system under test: topology, safeguards, tables, invariants.

Three ISPs with two embedded appliances each, a storage tier at the exchange, and a control plane in two
regions. Round-trip times and rates are design values.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.system import Invariant, Link, Node, ParityMetric, Safeguard, Service, System, Topology

from .charts import CHARTS
from .control.catalog import catalog
from .control.gateway import gateway
from .control.identity import identity
from .control.playback import playback
from .control.recommender import recommender
from .control.steering import steering
from .delivery.edge import edge
from .delivery.origin import full_copy
from .delivery.segments import ROUTE
from .player.browsing import browsers
from .player.population import viewers
from .records import HeartbeatRow, RequestRow, ServedRow, SessionRow

ISPS = ("isp-a", "isp-b", "isp-c")
REGIONS = ("region-east", "region-west")
EXCHANGE = "ix"

CONTROL_PLANE = {
    "identity": identity,
    "catalog": catalog,
    "recommender": recommender,
    "steering": steering,
    "playback": playback,
    "gateway": gateway,
}
"""Roles in the order in which they are started: what others read at their start comes first."""

CORES = {
    "gateway": 1,
    "identity": 1,
    "catalog": 1,
    "recommender": 2,
    "steering": 1,
    "playback": 2,
    "edge": 8,
    "storage": 16,
    "origin": 8,
}
"""Processor cores of a node. One asyncio process uses one; recommender and playback run two each. Design values."""

SEGMENT_COST = "300us"
"""Processor time of sending a segment from an appliance. A design value: about 1 MB at 3 GB a second and core, which
is what TLS in the kernel and sendfile leave to do."""

APPLIANCE_COSTS = {f"GET {ROUTE}": SEGMENT_COST}

EDGE_CONFIG = {"filled_titles": 150, "cache_bytes": 200_000_000_000}


def _nodes() -> tuple[Node, ...]:
    def appliance(
        name: str, role: str, zone: str, service: Service, config: Mapping[str, int] | None = None
    ) -> Node:
        return Node(name, role, zone, service, config or {}, cores=CORES[role], costs=APPLIANCE_COSTS)

    control = [
        Node(f"{role}-{region.removeprefix('region-')}-1", role, region, service, cores=CORES[role])
        for role, service in CONTROL_PLANE.items()
        for region in REGIONS
    ]
    return (
        appliance("origin-1", "origin", "region-east", full_copy),
        *(appliance(f"storage-{n}", "storage", EXCHANGE, full_copy) for n in (1, 2)),
        *(
            appliance(f"edge-{isp.removeprefix('isp-')}-{n}", "edge", isp, edge, EDGE_CONFIG)
            for isp in ISPS
            for n in (1, 2)
        ),
        *control,
    )


def _links(nodes: tuple[Node, ...]) -> tuple[Link, ...]:
    uplink_bps = {"edge": 10e9, "storage": 40e9, "origin": 10e9}
    return (
        *(Link(isp, EXCHANGE, rtt_s=0.005, bandwidth_bps=10e9) for isp in ISPS),
        Link(EXCHANGE, "region-east", rtt_s=0.020, bandwidth_bps=40e9),
        Link(EXCHANGE, "region-west", rtt_s=0.030, bandwidth_bps=40e9),
        Link("region-east", "region-west", rtt_s=0.040, bandwidth_bps=40e9),
        *(
            Link(node.name, node.zone, rtt_s=0.0002, bandwidth_bps=uplink_bps[node.role])
            for node in nodes
            if node.role in uplink_bps
        ),
    )


NODES = _nodes()

SAFEGUARDS = (
    Safeguard(
        "player.failover", "a dead or failing appliance never ends playback: the next of the list is taken"
    ),
    Safeguard(
        "player.region_failover", "a viewer whose home region does not answer is served by the other one"
    ),
    Safeguard("player.abr", "a slow network costs quality, not interruptions"),
    Safeguard("player.segment_timeout", "a silent appliance is given up while there is still buffer to play"),
    Safeguard("player.retry", "one failed request is not a failed session"),
    Safeguard("player.retry_budget", "an overload is not kept up by clients that try again"),
    Safeguard("player.optional_steering", "running streams do not need the control plane"),
    Safeguard("gateway.deadline", "a slow dependency cannot make the home page or a start slow"),
    Safeguard("gateway.fallback", "a home page is never empty when the recommender fails"),
    Safeguard("gateway.breaker", "a failing dependency is left alone instead of being waited for"),
    Safeguard("gateway.bulkhead", "one slow dependency cannot take all of the gateway's capacity"),
    Safeguard("gateway.offline_tokens", "signed-in viewers do not notice an outage of the identity service"),
    Safeguard("gateway.ejection", "one failing node does not take its role: the others are asked"),
    Safeguard(
        "gateway.manifest_cache", "starts survive a failing playback service: the last manifests serve"
    ),
    Safeguard("gateway.retry", "a connection reset between services does not fail a start"),
    Safeguard("gateway.shedding", "under overload the least important requests are refused first"),
    Safeguard("playback.catalog_cache", "starts do not need the catalogue: the last good snapshot serves"),
    Safeguard("playback.steering_cache", "starts do not need steering: the last good lists serve"),
    Safeguard("steering.health", "dead appliances are not handed out to new sessions"),
    Safeguard("edge.miss_deadline", "a miss that cannot be filled fails fast, so that the player moves on"),
    Safeguard("edge.coalescing", "many viewers of one missing segment cost one fetch"),
    Safeguard("edge.limit", "a full appliance refuses at once instead of serving everyone badly"),
)

INVARIANTS = (
    Invariant(
        "startup-is-never-negative",
        "sessions",
        "startup_s is not null and startup_s < 0",
        "a measured startup time is a real duration",
    ),
    Invariant(
        "sessions-end-after-they-begin",
        "sessions",
        "t_s < started_at_s or (startup_s is not null and started_at_s + startup_s > t_s + 1e-6)",
        "the order of a session's life: intent, first frame, end",
    ),
    Invariant(
        "played-sessions-have-started",
        "sessions",
        "(outcome in ('completed', 'left', 'playback_failure')) <> (startup_s is not null)",
        "every started session ends as one, and no other does",
    ),
    Invariant(
        "play-time-fits-into-life",
        "sessions",
        "played_s + stall_s > t_s - started_at_s + 0.01",
        "nothing is played faster than real time",
    ),
    Invariant(
        "heartbeats-fit-into-time",
        "heartbeats",
        "t_s < started_at_s or played_s < 0 or stall_s < 0 or played_s + stall_s > t_s - started_at_s + 0.01",
        "what a session did in an interval is no longer than the interval",
    ),
    Invariant(
        "bytes-add-up",
        "sessions",
        "bytes_local + bytes_content_miss + bytes_health_miss + bytes_other_miss <> bytes_total "
        "or bytes_edge + bytes_storage + bytes_origin > bytes_total",
        "each byte of video is local or has a reason why it is not",
    ),
    Invariant(
        "home-pages-are-never-empty",
        "served",
        "route = 'home' and status = 200 and level is null",
        "a page that is answered has rows of some level",
    ),
)

EVENTS = {
    "player.failover": "a player moved to another appliance (session, from, to, reason)",
    "player.region_failover": "a player moved to the other region's gateway (session, from, to)",
    "player.stall": "a stall ended (session, stall_s, network_class)",
    "breaker.state": "a circuit breaker changed its state (dependency, state)",
    "gateway.fallback": "a home page was answered below its best level (dependency, level)",
    "gateway.kept_manifest": "a film started from a kept manifest because playback did not answer (title, reason)",
    "dependency.ejected": "a failing node of a role is not asked for a while (dependency, node)",
    "dependency.returned": "a node of a role is asked again (dependency, node)",
    "gateway.shed": "a request was refused for its priority (route, priority)",
    "playback.fallback": "a manifest got kept appliance lists because steering did not answer (dependency, reason)",
    "steering.withdrawn": "steering stopped handing out an appliance (node)",
    "steering.returned": "steering hands out an appliance again (node)",
    "edge.miss": "an appliance had to ask the storage tier (title, filled, reason)",
}

PARITY_METRICS = (
    ParityMetric("startup, median", "sessions", "median(startup_s)", 0.15, where="startup_s is not null"),
    ParityMetric(
        "stalled share of watching",
        "sessions",
        "sum(stall_s) / nullif(sum(stall_s + played_s), 0)",
        0.02,
        where="startup_s is not null",
        unit="ratio",
        relative=False,
    ),
    ParityMetric(
        "wait before a failover, mean",
        "requests",
        "avg(latency_s)",
        0.20,
        where="kind = 'segment' and not ok",
    ),
    ParityMetric(
        "wait before a region failover, mean",
        "requests",
        "avg(latency_s)",
        0.20,
        where="kind <> 'segment' and status = 0",
    ),
)

system = System(
    name="streaming",
    topology=Topology(zones=(*ISPS, EXCHANGE, *REGIONS), nodes=NODES, links=_links(NODES)),
    safeguards=SAFEGUARDS,
    tables={"sessions": SessionRow, "heartbeats": HeartbeatRow, "requests": RequestRow, "served": ServedRow},
    workloads=(viewers, browsers),
    invariants=INVARIANTS,
    events=EVENTS,
    parity_metrics=PARITY_METRICS,
    charts=CHARTS,
)
