"""The messages between the harness and Locust's processes, and the names of Locust's own between those.

The process at the other end of the harness's socket is Locust's master, or the only process. It passes batches of its
workers on without reading them: `TO_HARNESS` and `TO_WORKER` hold a batch of `CODEC` each, inside an `Envelope`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.experiment.load import LoadSegment
from harness.live.messages import Consulted, Emitted, Misuse, Resolve, Route, Unhandled
from harness.runtime.messages import Codec, message
from harness.system import Access
from harness.workload.records import ClientOutcome, LoadRequest

USERS_NEEDED = "harness.users-needed"
"""Worker to master: how many users it needs at least (`users`)."""
TO_HARNESS = "harness.to-harness"
"""Worker to master: a batch for the harness (`batch`)."""
TO_WORKER = "harness.to-worker"
"""Master to worker: a batch from the harness (`batch`)."""
PING = "harness.ping"
"""Worker to master: the worker's clock (`sent`), to be compared with the master's."""
PONG = "harness.pong"
"""Master to worker: the clock of the ping (`sent`) and the master's own (`master`)."""

MEASURE_EVERY_S = 5.0
"""How often workers on other machines compare their clock with the master's."""


# ---------------------------------------------------------------------- from a process of Locust


@message
class Hello:
    """A process has started on this machine. `versions`: of Python, the harness, Locust."""

    pid: int
    machine: str
    versions: Mapping[str, str]


@message
class Listening:
    """The master accepts workers at this port."""

    port: int


@message
class Prepared:
    """The system is loaded. `offset_s`, plus or minus `uncertain_s`: what to add to this machine's monotonic clock to
    get the master's; both 0 on the harness's own machine."""

    offset_s: float
    uncertain_s: float


@message
class UsersReady:
    """Users wait for arrivals: sessions can start."""

    users: int


@message
class Broken:
    """This process cannot go on."""

    error: str


@message
class Arrived:
    """A client has arrived."""

    client: str
    role: str
    zone: str
    group: str
    load: str
    index: int
    intended_s: float
    t_s: float
    access: Access


@message
class Requested:
    request: LoadRequest


@message
class Alive:
    """Sent once a second by the event loop of the clients."""


@message
class Attempts:
    """Connection attempts by node: totals since this process started."""

    by_node: Mapping[str, int]


@message
class Left:
    """A client has ended, or has not though it was cancelled (outcome `unended`)."""

    client: str
    t_s: float
    outcome: ClientOutcome
    error: str | None


@message
class Finished:
    """All clients of this process have left, and no more arrive.

    `requests`: how many HTTP requests Locust counts. `added`: users added beside those of Locust's load shape.
    `offset_s`: as in `Prepared`, at the end.
    """

    requests: int = 0
    added: int = 0
    cpu_s: float = 0.0
    offset_s: float = 0.0


@message
class Lost:
    """The master no longer hears from the worker."""

    reason: str


@message
class Totals:
    """Locust's statistics. `by_name`: requests and failures by "METHOD name"."""

    requests: int
    failures: int
    by_name: Mapping[str, tuple[int, int]]
    users: int


# ---------------------------------------------------------------------- from the harness


@message
class Prepare:
    """Load the system. This is worker `number` (from 0) of `workers`. `origin_s`: run time 0 on the harness's
    monotonic clock."""

    name: str
    number: int
    workers: int
    reference: str
    seed: int
    safeguards: Mapping[str, bool]
    origin_s: float


@message
class StartUsers:
    """To the master: start the first users, so that they wait for arrivals."""


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """What a `harness.experiment.model.Load` says: whose clients, how many over time, which mix."""

    workload: str
    segments: tuple[LoadSegment, ...]
    mix: str


@message
class Start:
    """Start the loads at `start_s` of the run. They are by name."""

    loads: Mapping[str, LoadPlan]
    start_s: float


@message
class Leave:
    """Start no more clients, and cancel those that are there."""


@message
class End:
    """To the master: end Locust once its statistics count this many requests, or after a time limit."""

    requests: int


CODEC = Codec(
    *(Hello, Listening, Prepared, UsersReady, Broken, Arrived, Resolve, Emitted, Requested, Alive, Attempts),
    *(
        Unhandled,
        Misuse,
        Consulted,
        Left,
        Finished,
        Lost,
        Totals,
        Prepare,
        StartUsers,
        Start,
        Route,
        Leave,
        End,
    ),
)


# ---------------------------------------------------------------------- on the socket to the harness


@message
class Envelope:
    """A batch of `CODEC` from or for a worker, by Locust's name of it; '' for the process at the socket itself."""

    worker: str
    batch: str


SOCKET = Codec(Envelope)
