"""Whether an experiment makes sense for its system: names, targets, times, SLOs and their SQL.

Runs on a draft, so that what is wrong in itself does not hide what is wrong beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from harness.engine.targets import TargetError, resolve
from harness.faults.base import Fault
from harness.faults.primitives import Primitive
from harness.history.columns import EVENT_COLUMNS, Column, check_expression, columns
from harness.spec.diagnostics import Diagnostic, did_you_mean
from harness.spec.model import EventGate, Gate, Load, PercentileSlo, RatioSlo, RecoveredGate, Slo, SloGate
from harness.spec.parse import Draft
from harness.spec.source import Path, Source
from harness.system import System
from harness.verdict.limits import parse_limit
from harness.verdict.names import gate_name

FIRST_FAULT_S = 5.0
"""Before that nothing could be seen of the steady state."""

EVENTS = "events"


def validate(
    draft: Draft, system: System, slos: Mapping[str, Slo], available: frozenset[Primitive]
) -> Iterator[Diagnostic]:
    """Everything that does not fit. `available`: what the runtime can do."""
    source = draft.source
    yield from _loads(source, draft.load, system)
    yield from _timeline(source, draft, system, available)
    yield from _gates(source, draft.gates, system, slos)
    yield from _arms(source, draft, system, slos)


def _unknown(
    source: Source, path: Path, what: str, word: str, allowed: Sequence[str], *, key: bool = False
) -> Diagnostic:
    return source.at(
        path,
        f"no {what} '{word}'",
        f"there is {', '.join(allowed) or 'none'}",
        did_you_mean(word, allowed),
        key=key,
    )


def _loads(source: Source, loads: Mapping[str, Load | None], system: System) -> Iterator[Diagnostic]:
    workloads = {workload.name: workload for workload in system.workloads}
    for name, load in loads.items():
        path: Path = ("load", name)
        workload = workloads.get(name)
        if workload is None:
            yield _unknown(source, path, f"workload in system {system.name}", name, list(workloads), key=True)
        if load is None:
            continue
        if workload is not None and load.mix not in workload.mixes:
            yield _unknown(source, (*path, "mix"), "mix", load.mix, list(workload.mixes))
        if load.arrive <= 0:
            yield source.at((*path, "arrive"), "nobody arrives at 0/s", "give a rate above 0, such as 4/s")
        if load.for_ <= 0:
            yield source.at((*path, "for"), "the load lasts no time", "give a duration such as 2m")


def _timeline(
    source: Source, draft: Draft, system: System, available: frozenset[Primitive]
) -> Iterator[Diagnostic]:
    ends_s = max((load.for_ for load in draft.load.values() if load is not None), default=None)
    for index, fault in enumerate(draft.timeline):
        path: Path = ("timeline", index)
        if not isinstance(fault, Fault):
            continue
        missing = sorted(need.value for need in fault.needs - available)
        if missing:
            yield source.at(
                (*path, "fault"), f"{fault.fault} needs {', '.join(missing)}", "this runtime cannot do that"
            )
        if fault.at < FIRST_FAULT_S:
            yield source.at(
                (*path, "at"),
                f"{fault.fault} begins at {fault.at:g}s",
                f"the steady state before it needs {FIRST_FAULT_S:g}s or more",
            )
        if ends_s is not None and fault.at >= ends_s:
            yield source.at(
                (*path, "at"),
                f"{fault.fault} begins at {fault.at:g}s, when nobody arrives any more",
                f"the load ends at {ends_s:g}s; begin earlier or load longer",
            )
        elif ends_s is not None and fault.ends_s > ends_s:
            yield source.at(
                (*path, "for"),
                f"{fault.fault} lasts until {fault.ends_s:g}s",
                f"the load ends at {ends_s:g}s; end the fault earlier or load longer",
            )
        try:
            resolve(fault.target, system, 0, index, nodes_only=fault.targets == "nodes")
        except TargetError as error:
            for problem in error.problems:
                found, _, rest = problem.partition("; ")
                yield source.at((*path, "target"), found, rest)


def _gates(
    source: Source, gates: Sequence[Gate | None], system: System, slos: Mapping[str, Slo]
) -> Iterator[Diagnostic]:
    if not gates:
        yield source.at(("gates",), "there is no gate", "an experiment without one proves nothing", key=True)
    names: dict[str, int] = {}
    for index, gate in enumerate(gates):
        if gate is None:
            continue
        path: Path = ("gates", index)
        line = source.mark(path).line
        name = gate_name(gate)
        if name in names:
            yield source.at(
                path,
                f"a gate '{name}' is there already, in line {names[name]}",
                "give one of them a name: ...",
            )
        names.setdefault(name, line)
        if isinstance(gate, EventGate):
            if gate.event not in system.events:
                yield _unknown(source, (*path, "event"), "event", gate.event, list(system.events))
        else:
            yield from _slo_use(source, path, gate, system, slos)


def _slo_use(
    source: Source, path: Path, gate: SloGate | RecoveredGate, system: System, slos: Mapping[str, Slo]
) -> Iterator[Diagnostic]:
    key = "slo" if isinstance(gate, SloGate) else "recovered"
    name = gate.slo if isinstance(gate, SloGate) else gate.recovered
    slo = slos.get(name)
    if slo is None:
        yield _unknown(source, (*path, key), "SLO", name, list(slos))
        return
    known = table_columns(system, slo.table)
    if gate.where is not None and known is not None:
        problem = check_expression(gate.where, known)
        if problem is not None:
            yield source.at((*path, "where"), f"'{gate.where}': {problem}")
    if isinstance(slo, RatioSlo) and gate.at_most is not None:
        yield source.at((*path, "at_most"), f"{name} is a ratio", "override it with target: 99.9%", key=True)
    if isinstance(slo, PercentileSlo):
        if gate.target is not None:
            yield source.at(
                (*path, "target"), f"{name} is a percentile", "override it with at_most: 2s", key=True
            )
        if gate.at_most is not None:
            yield from _limit(source, (*path, "at_most"), gate.at_most, slo.at_most)


def _limit(source: Source, path: Path, text: str, own: str | None = None) -> Iterator[Diagnostic]:
    try:
        _, unit = parse_limit(text)
    except ValueError as error:
        found, _, rest = str(error).partition("; ")
        yield source.at(path, found, rest)
        return
    if own is not None:
        try:
            _, wanted = parse_limit(own)
        except ValueError:
            return
        if unit != wanted:
            yield source.at(path, f"'{text}' is in {unit}", f"the SLO is in {wanted}, such as {own}")


def _arms(source: Source, draft: Draft, system: System, slos: Mapping[str, Slo]) -> Iterator[Diagnostic]:
    safeguards = [safeguard.name for safeguard in system.safeguards]
    gated = [gate.slo for gate in draft.gates if isinstance(gate, SloGate)]
    gated += [gate.recovered for gate in draft.gates if isinstance(gate, RecoveredGate)]
    for index, arm in enumerate(draft.arms):
        if arm is None:
            continue
        path: Path = ("arms", index)
        for name in arm.safeguards:
            if name not in safeguards:
                yield _unknown(source, (*path, "without"), "safeguard", name, safeguards)
        if arm.slo not in slos:
            yield _unknown(source, (*path, "slo"), "SLO", arm.slo, list(slos))
        elif arm.slo not in gated and None not in draft.gates:
            yield source.at(
                (*path, "slo"),
                f"no gate of this experiment is about {arm.slo}",
                f"its gates are about {', '.join(dict.fromkeys(gated)) or 'no SLO'}",
            )
        elif arm.where is not None:
            known = table_columns(system, slos[arm.slo].table)
            problem = None if known is None else check_expression(arm.where, known)
            if problem is not None:
                yield source.at((*path, "where"), f"'{arm.where}': {problem}")


def validate_slos(source: Source, slos: Mapping[str, Slo], system: System) -> Iterator[Diagnostic]:
    """Whether every SLO can be computed from the system's tables."""
    for name, slo in slos.items():
        known = table_columns(system, slo.table)
        if known is None:
            yield _unknown(
                source, (name, "table"), f"table in system {system.name}", slo.table, [*system.tables, EVENTS]
            )
            continue
        numeric = ("at", slo.at), ("value", slo.value if isinstance(slo, PercentileSlo) else None)
        boolean = (
            ("where", slo.where),
            *((key, getattr(slo, key)) for key in ("good", "bad") if isinstance(slo, RatioSlo)),
        )
        for key, expression in numeric:
            if expression is not None and (problem := check_expression(expression, known, numeric=True)):
                yield source.at((name, key), f"'{expression}': {problem}")
        for key, expression in boolean:
            if expression is not None and (problem := check_expression(expression, known)):
                yield source.at((name, key), f"'{expression}': {problem}")
        if slo.by is not None and slo.by not in [column.name for column in known]:
            yield _unknown(source, (name, "by"), "column", slo.by, [column.name for column in known])
        if isinstance(slo, PercentileSlo):
            yield from _limit(source, (name, "at_most"), slo.at_most)


def table_columns(system: System, table: str) -> tuple[Column, ...] | None:
    """The columns of a table of the system, or of the events; None when there is no such table."""
    if table == EVENTS:
        return EVENT_COLUMNS
    row_type = system.tables.get(table)
    return None if row_type is None else columns(row_type)
