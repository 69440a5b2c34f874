"""Which charts a history yields. It follows the tables, columns and events that exist, not by a system's name.

* A table with `startup_s`: startup time of each session, with the percentile of its gate (else the 95th).
* A table with `bitrate_kbps` and an instant or a `kind`: delivered bitrate, mean of a time slice.
* Events named `*.stall` (field `stall_s`): seconds stalled in each slice.
* Events with a `state` field: one lane for each thing that has states (breakers).
* A table with `ok` (boolean) or `status`: share of good requests; with `latency_s`: 95th percentile latency.

A group is the first of the columns in `GROUPS` (for answers: in `ANSWER_GROUPS`) that a table has and that takes
few enough values.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from harness.gates.result import GateResult
from harness.report import formatting as words
from harness.report.chart_context import Asked
from harness.report.downsample import Point
from harness.report.svg import COLOURS, Band, Figure, Lane, Mark, Series
from harness.verdict.model import FaultResult

GROUPS = ("network_class", "group", "kind", "route", "node", "host")
ANSWER_GROUPS = ("kind", "route", *GROUPS)
GROUPS_MOST = 8
NOTHING_ASKED = Asked()
SLICES_MOST = 75
SLICES_S = (0.1, 0.2, 0.25, 0.5, 1.0, 2.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0)
"""Faults begin at round times: slices of these lengths do not mix what was before with what came after."""

ROWS_MOST = 60_000
LANES_MOST = 12
CALM = ("closed", "ok", "healthy", "up", "normal", "admit")
LEVELS = ("calm", "warn", "bad")
WARN = ("half-open", "half_open", "degraded", "probing")


class Tables(Protocol):
    """A history, as far as charts need it."""

    def columns(self) -> Mapping[str, Mapping[str, str]]:
        """Table name to its columns: name to SQL type."""
        ...

    def rows(self, sql: str) -> list[tuple[Any, ...]]: ...


def bands(faults: Iterable[FaultResult], end_s: float) -> tuple[Band, ...]:
    """The faults that were applied, as bands; one never undone lasts to the end."""
    return tuple(
        Band(words.fault_label(fault), fault.applied_at_s, end)
        for fault in faults
        if fault.applied_at_s is not None
        for end in [end_s if fault.undone_at_s is None else fault.undone_at_s]
    )


def end_of(tables: Tables) -> float:
    """The last moment of the run that any row knows, in seconds; 0 when there are no rows."""
    latest = [
        row[0]
        for name, columns in sorted(tables.columns().items())
        if "t_s" in columns
        for row in tables.rows(f'SELECT max("t_s") FROM "{name}"')
    ]
    return max((float(value) for value in latest if value is not None), default=0.0)


def slice_of(end_s: float) -> float:
    """How long the slices of time are, in seconds: at most `SLICES_MOST` of them."""
    return next((length for length in SLICES_S if end_s / length <= SLICES_MOST), end_s / SLICES_MOST)


def marks(asked: Asked) -> tuple[Mark, ...]:
    """When the last clients arrived: what comes later is of fewer and fewer."""
    return () if asked.load_end_s is None else (Mark("last arrivals", asked.load_end_s),)


def figures(
    tables: Tables,
    faults: Sequence[FaultResult],
    gates: Sequence[GateResult] = (),
    asked: Asked = NOTHING_ASKED,
) -> tuple[Figure, ...]:
    """All charts that this history can give, the most telling first."""
    end_s = end_of(tables)
    if end_s <= 0:
        return ()
    frame = _Frame(tables, bands(faults, end_s), end_s, slice_of(end_s), tuple(gates), asked)
    makers = (_startup, _success, _bitrate, _stalls, _states, _latency)
    return tuple(figure for make in makers for figure in make(frame))


class _Frame:
    def __init__(
        self,
        tables: Tables,
        bands: tuple[Band, ...],
        end_s: float,
        slice_s: float,
        gates: tuple[GateResult, ...],
        asked: Asked,
    ) -> None:
        self.tables = tables
        self.bands = bands
        self.end_s = end_s
        self.slice_s = slice_s
        self.gates = gates
        self.asked = asked
        self.marks = marks(asked)
        self.columns = {name: dict(columns) for name, columns in sorted(tables.columns().items())}

    def with_columns(self, *names: str) -> list[str]:
        return [table for table, columns in self.columns.items() if all(name in columns for name in names)]

    def group(self, table: str, where: str = "TRUE", of: Sequence[str] = GROUPS) -> str:
        """SQL text of the grouping column, or of one constant group."""
        for column in of:
            if column in self.columns[table]:
                count = self.tables.rows(f'SELECT count(DISTINCT "{column}") FROM "{table}" WHERE {where}')[
                    0
                ][0]
                if 1 < count <= GROUPS_MOST:
                    return f'"{column}"'
        return "'all'"

    def sliced(self, table: str, at: str, value: str, where: str, group: str) -> dict[str, list[Point]]:
        """For each group: (middle of the slice, SQL aggregate `value` of it)."""
        found: dict[str, list[Point]] = defaultdict(list)
        sql = (
            f'SELECT CAST({group} AS VARCHAR) g, floor(({at}) / {self.slice_s}) s, {value} v FROM "{table}"'
            f" WHERE ({where}) AND ({at}) IS NOT NULL GROUP BY ALL ORDER BY g, s"
        )
        for name, index, number in self.tables.rows(sql):
            if number is not None:
                found[str(name)].append(((float(index) + 0.5) * self.slice_s, float(number)))
        return dict(found)

    def lines(
        self, title: str, note: str, series: Iterable[Series], tick: Callable[[float], str], **more: Any
    ) -> list[Figure]:
        kept = tuple(series)
        if not any(one.dots or one.line for one in kept):
            return []
        return [Figure(title, note, self.end_s, self.bands, series=kept, tick=tick, marks=self.marks, **more)]

    def words(self, title: str, note: str) -> Figure:
        return Figure(title, note, self.end_s, kind="words")

    def gate(self, slo_part: str, unit: str) -> GateResult | None:
        """The first gate with a limit whose SLO's name has this word, where there is one."""
        for gate in self.gates:
            if slo_part in (gate.slo or gate.name) and gate.unit == unit and gate.threshold is not None:
                return gate
        return None


def _series(
    dots: Mapping[str, Sequence[Point]], lines: Mapping[str, Sequence[Point]], gap_s: float
) -> tuple[Series, ...]:
    names = sorted({*dots, *lines})
    return tuple(Series(name, dots.get(name, ()), lines.get(name, ()), gap_s) for name in names[:COLOURS])


def _startup(frame: _Frame) -> Iterable[Figure]:
    for table in frame.with_columns("startup_s", "t_s"):
        group = frame.group(table)
        started = '"started_at_s" + "startup_s"' if "started_at_s" in frame.columns[table] else '"t_s"'
        where = '"startup_s" IS NOT NULL'
        dots: dict[str, list[Point]] = defaultdict(list)
        for name, t, value in frame.tables.rows(
            f'SELECT CAST({group} AS VARCHAR), {started} t, "startup_s" FROM "{table}" WHERE {where}'
            f" ORDER BY t LIMIT {ROWS_MOST}"
        ):
            dots[str(name)].append((float(t), float(value)))
        gate = frame.gate("startup", "s")
        percent = frame.asked.percentile(None if gate is None else gate.slo, table, "startup_s")
        lines = frame.sliced(table, started, f'quantile_disc("startup_s", {percent / 100})', where, group)
        yield from frame.lines(
            "Startup time",
            "Each dot is a session, placed when it began to play; "
            f"lines are the {percent:g}th percentile of a slice of time.",
            _series(dots, lines, 4 * frame.slice_s),
            words.duration,
            limit=None
            if gate is None or gate.threshold is None
            else (gate.threshold, f"limit of p{percent:g} {words.gate_limit(gate)}"),
        )


def _success(frame: _Frame) -> Iterable[Figure]:
    for table in frame.with_columns("t_s"):
        columns = frame.columns[table]
        if "ok" in columns:
            good = 'CAST("ok" AS INTEGER)'
        elif "status" in columns and "outcome" not in columns:
            good = 'CASE WHEN "status" BETWEEN 200 AND 399 THEN 1 ELSE 0 END'
        else:
            continue
        group = frame.group(table, of=ANSWER_GROUPS)
        lines = frame.sliced(table, '"t_s"', f"avg({good})", "TRUE", group)
        title = f"Good answers ({table})"
        if lines and all(y == 1 for line in lines.values() for _, y in line):
            # A straight line along the top would take the room of one that tells something.
            yield frame.words(title, f"All answers were good, all the time ({', '.join(lines)}).")
            continue
        yield from frame.lines(
            title,
            "Share of good answers in each slice of time.",
            _series({}, lines, 4 * frame.slice_s),
            lambda value: f"{value * 100:.3g}%",
            y_range=_share_range(lines),
        )


def _share_range(lines: Mapping[str, Sequence[Point]]) -> tuple[float, float]:
    """The axis of a share: up to 100 %, down to where something is to be seen, at least 10 points."""
    lowest = min((y for line in lines.values() for _, y in line), default=0.0)
    return (next(floor for floor in (0.9, 0.8, 0.6, 0.0) if lowest >= floor), 1.0)


def _latency(frame: _Frame) -> Iterable[Figure]:
    for table in frame.with_columns("t_s", "latency_s"):
        group = frame.group(table, of=ANSWER_GROUPS)
        lines = frame.sliced(
            table, '"t_s"', 'quantile_disc("latency_s", 0.95)', '"latency_s" IS NOT NULL', group
        )
        yield from frame.lines(
            f"Latency ({table})",
            "95th percentile in each slice of time.",
            _series({}, lines, 4 * frame.slice_s),
            words.duration,
        )


def _bitrate(frame: _Frame) -> Iterable[Figure]:
    tables = frame.with_columns("t_s", "bitrate_kbps")
    # Segments say more than sessions, of which only the mean over a whole life is known.
    for table in [name for name in tables if "kind" in frame.columns[name]] or tables[:1]:
        where = '"bitrate_kbps" IS NOT NULL'
        group = frame.group(table, where)
        lines = frame.sliced(table, '"t_s"', 'avg("bitrate_kbps")', where, group)
        yield from frame.lines(
            "Delivered bitrate",
            "Mean bitrate of the segments that arrived in each slice of time.",
            _series({}, lines, 4 * frame.slice_s),
            lambda value: f"{value / 1000:g} Mbps",
        )


def _stalls(frame: _Frame) -> Iterable[Figure]:
    lost: dict[int, float] = defaultdict(float)
    count = 0
    for t, fields in _events(frame, "event LIKE '%.stall'"):
        seconds = fields.get("stall_s")
        if isinstance(seconds, int | float):
            lost[int(t / frame.slice_s)] += seconds
            count += 1
    if count:
        line = [(index * frame.slice_s, seconds) for index, seconds in sorted(lost.items())]
        yield Figure(
            "Stalls",
            f"Seconds of interrupted playback that ended in each slice of time; {count:,} stalls in all.",
            frame.end_s,
            frame.bands,
            kind="bars",
            series=(Series("stalled", line=line),),
            bar_s=frame.slice_s,
            tick=words.duration,
            marks=frame.marks,
        )
    elif frame.with_columns("stall_s"):
        yield frame.words("Stalls", "No playback was interrupted.")


def _states(frame: _Frame) -> Iterable[Figure]:
    changes: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for t, fields in _events(frame, "event LIKE '%.state'"):
        state = fields.get("state")
        if isinstance(state, str):
            thing = " ".join(str(v) for k, v in sorted(fields.items()) if k != "state")
            changes[thing].append((t, state))
    # Those that changed most are those that tell most.
    chosen = sorted(changes, key=lambda thing: (-len(changes[thing]), thing))[:LANES_MOST]
    lanes = tuple(Lane(thing, _spans(changes[thing], frame.end_s)) for thing in sorted(chosen))
    if lanes:
        more = len(changes) - len(lanes)
        levels = {state: level for lane in lanes for *_, state, level in lane.spans}
        note = "Only of those that changed." + (f" {more} quieter ones are left out." if more else "")
        yield Figure(
            "Breaker states",
            note,
            frame.end_s,
            frame.bands,
            kind="lanes",
            lanes=lanes,
            legend=sorted(levels.items(), key=lambda item: LEVELS.index(item[1])),
        )


def _spans(changes: Sequence[tuple[float, str]], end_s: float) -> list[tuple[float, float, str, str]]:
    """States from changes; before the first change a thing is taken to be closed, as breakers start."""
    spans = []
    t, state = 0.0, "closed"
    for at, new in [*changes, (end_s, "")]:
        if new == state:
            continue
        if at > t:
            spans.append((t, at, state, _level(state)))
        t, state = at, new
    return spans


def _level(state: str) -> str:
    if state.lower() in CALM:
        return "calm"
    return "warn" if state.lower() in WARN else "bad"


def _events(frame: _Frame, where: str) -> Iterable[tuple[float, dict[str, Any]]]:
    """(t_s, fields) of the events that fit, with the host among the fields; in order of time."""
    if not {"t_s", "event", "fields"} <= frame.columns.get("events", {}).keys():
        return
    host = "host" if "host" in frame.columns["events"] else "NULL"
    for t, at, fields in frame.tables.rows(
        f"SELECT t_s, {host}, fields FROM events WHERE {where} ORDER BY t_s LIMIT {ROWS_MOST}"
    ):
        # Fields are JSON text in the history (each event has its own).
        yield t, {"": at, **(json.loads(fields) if isinstance(fields, str) else dict(fields or {}))}
