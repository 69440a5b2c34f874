from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServedRow:
    t_s: float
    started_at_s: float
    node: str
    route: str
    network_class: str
    status: int
    latency_s: float
    priority: str
    level: str | None


@dataclass(frozen=True, slots=True)
class SessionRow:
    t_s: float


@dataclass(frozen=True, slots=True)
class RequestRow:
    t_s: float
