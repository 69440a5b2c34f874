"""The messages between the harness, its nodes and the fork server, and the rows of a system in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Annotated, Any

from pydantic import Field

from harness.faults.primitives import HostRule
from harness.runtime.messages import Codec, MessageError, message
from harness.system import Event, Row, System
from harness.system.processor import PROCESSORS, ProcessorSlice


@message
class TableRow:
    """A row of a table: the values of its fields, in order."""

    table: str
    values: list[Any]


@message
class EventRow:
    event: str
    fields: Mapping[str, Any]


type EncodedRow = Annotated[TableRow | EventRow, Field(discriminator="kind")]


class RowCodec:
    """Translates the rows of a system to and from messages."""

    def __init__(self, system: System) -> None:
        self._classes = {**system.tables, PROCESSORS: ProcessorSlice}
        self._tables = {row: (name, _values_of(row)) for name, row in self._classes.items()}

    def encode(self, row: Row) -> TableRow | EventRow:
        if isinstance(row, Event):
            return EventRow(row.name, row.fields)
        name, values = self._tables[type(row)]
        return TableRow(name, values(row))

    def decode(self, row: TableRow | EventRow) -> Row:
        """The row as it was emitted. Raises MessageError for one that does not fit the system."""
        match row:
            case EventRow(event, values):
                return Event(event, values)
            case TableRow(table, values):
                try:
                    return self._classes[table](*values)
                except (KeyError, TypeError, ValueError) as error:
                    raise MessageError(f"not a row of table {table}: {error!r}") from error


def _values_of(row: type) -> Any:
    """A function that lists the values of a row of this class."""
    names = [field.name for field in fields(row)]
    if len(names) == 1:
        return lambda row: [getattr(row, names[0])]
    getter = attrgetter(*names)
    return lambda row: list(getter(row))


# ---------------------------------------------------------------------- to and from the fork server


@message
class RunInfo:
    """What all nodes of a run share. `origin_s`: run time 0 on the machine's monotonic clock."""

    reference: str
    seed: int
    safeguards: Mapping[str, bool]
    origin_s: float
    directory: str


@message
class Launch:
    """Fork a process for this node. A descriptor comes along: its end of the channel to the harness.

    `namespace`: the path of the network namespace that it runs in, if it is not the harness's. `config`: what
    replaces keys of the node's own. `addresses`: of all nodes, by name. `port`: of its program.
    """

    node: str
    incarnation: int
    address: str
    namespace: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    addresses: Mapping[str, str] = field(default_factory=dict)
    port: int | None = None


@message
class Loaded:
    """The fork server has loaded the system."""


@message
class Launched:
    node: str
    incarnation: int
    pid: int


@message
class Exited:
    """`status` as of `os.waitstatus_to_exitcode`: negative for a signal."""

    pid: int
    status: int


# ---------------------------------------------------------------------- from a node


@message
class Ready:
    """The service listens at this port (the number it asked for, not the real one). None: it has none, and is ready."""

    port: int | None


@message
class Emitted:
    t_s: float
    host: str
    row: EncodedRow


@message
class Unhandled:
    """An error in the background of a process; a `defect` is one that no network causes."""

    host: str
    error: str
    defect: bool = False


@message
class Misuse:
    """A service or a client has used its host wrongly."""

    t_s: float
    host: str
    error: str


@message
class Consulted:
    """A service or a client has consulted a safeguard, the first time in this process."""

    t_s: float
    host: str
    safeguard: str


@message
class Ended:
    """The service's main coroutine ended, which is always an error."""

    reason: str


@message
class Resolve:
    """Asks for the addresses of `name`, port `port`, for a host. The answer is a `Route` of the same number."""

    number: int
    host: str
    name: str
    port: int


@message
class Counts:
    """Totals since this process began: connection attempts by node, requests interfered with by interference number.

    `lost_work_ms`: work (`Host.work`) that a limit kept waiting, in core milliseconds.
    """

    attempts: Mapping[str, int] = field(default_factory=dict)
    taken: Mapping[int, int] = field(default_factory=dict)
    lost_work_ms: int = 0


@message
class Flushed:
    """Answers `Flush`: everything that was sent before it has arrived."""

    number: int


# ---------------------------------------------------------------------- to a node


@dataclass(frozen=True, slots=True)
class Address:
    """One way to a node: through a proxy that listens at `host`, `port`. `rtt_s` is the topology's round trip."""

    node: str
    host: str
    port: int
    rtt_s: float = 0.0


@message
class Route:
    """Answers `Resolve`: addresses in the order to try; none when the name is unknown."""

    number: int
    addresses: tuple[Address, ...]


@message
class Interfere:
    """Interfere with the node from now on. `number` is unique in the run; draws are from `stream(seed, *names)`."""

    number: int
    rule: HostRule
    names: tuple[str | int, ...]


@message
class LimitWork:
    """Work (`Host.work`) gets this share of one core from now on; None: all cores."""

    cores: float | None


@message
class StopInterfering:
    """Ends the interference of this number."""

    number: int


@message
class Flush:
    """Asks for the counts, then `Flushed`."""

    number: int


FORK_SERVER = Codec(RunInfo, Launch, Loaded, Launched, Exited)
NODE = Codec(
    *(Ready, Emitted, Unhandled, Misuse, Consulted, Ended, Resolve, Counts, Flushed),
    *(Route, Interfere, StopInterfering, LimitWork, Flush),
)
