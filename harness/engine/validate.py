"""Whether an experiment makes sense for its system: names, targets, times, SLOs and their SQL.

Runs on drafts, so that what is wrong in itself does not hide what is wrong beside it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from harness.diagnostics import Code, Diagnostic, Path
from harness.engine.targets import TargetError, resolve
from harness.engine.unsupported import check_fault
from harness.engine.validate_slos import check_limit, check_share, sql, table_columns, unknown, validate_slos
from harness.experiment.model import (
    Arm,
    EventGate,
    Gate,
    Load,
    PercentileSlo,
    RatioSlo,
    RecoveredGate,
    Slo,
    SloGate,
    Target,
)
from harness.experiment.parse import Draft
from harness.experiment.source import Source
from harness.experiment.units import parse_duration
from harness.faults.base import Fault
from harness.history.columns import check_expression
from harness.runtime.capabilities import Capabilities
from harness.system import System

__all__ = ["FIRST_FAULT_S", "validate", "validate_slos"]

FIRST_FAULT_S = 5.0
"""Before that nothing could be seen of the steady state."""


def validate(
    draft: Draft,
    system: System | None,
    slos: Mapping[str, Slo | None] | None,
    capabilities: Capabilities | None,
) -> Iterator[Diagnostic]:
    """Everything that does not fit, in no order; nothing about what only stands in for something wrong.

    `system` None: it could not be loaded, and names of its own cannot be told right from wrong. `slos`: one
    that nothing can be made of is None; None for all when their file could not be read, which then is the
    only thing said about SLOs. `capabilities`: what the runtime can do; None: that is not checked.
    """
    for check in (
        () if system is None else _loads(draft.source, draft.load, system),
        _timeline(draft, system, capabilities),
        _gates(draft, system, slos),
        _arms(draft, system, slos),
    ):
        yield from draft.founded(check)


def _loads(source: Source, loads: Mapping[str, Load | None], system: System) -> Iterator[Diagnostic]:
    workloads = {workload.name: workload for workload in system.workloads}
    for name, load in loads.items():
        workload = workloads.get(name)
        if workload is None:
            where = f"system {system.name}"
            yield unknown(source, ("load", name), "workload", name, list(workloads), where, key=True)
        elif load is not None and load.mix not in workload.mixes:
            mixes = list(workload.mixes)
            yield unknown(source, ("load", name, "mix"), "mix", load.mix, mixes, f"workload {name}")


def _timeline(draft: Draft, system: System | None, capabilities: Capabilities | None) -> Iterator[Diagnostic]:
    source = draft.source
    ends_s = _load_end_s(draft)
    names: dict[str, int] = {}
    before: list[tuple[int, Fault]] = []
    for index, fault in enumerate(draft.timeline):
        path: Path = ("timeline", index)
        if not isinstance(fault, Fault):
            continue
        if capabilities is not None:
            yield from check_fault(source, index, fault, capabilities)
        if not draft.doubtful((*path, "at")):
            yield from _times(source, path, fault, ends_s)
        if system is not None:
            yield from _target(source, path, fault, system, index)
        line = source.mark(path).line
        if fault.name is not None and fault.name in names:
            yield source.at(
                (*path, "name"),
                Code.DUPLICATE,
                f"a fault '{fault.name}' is there already, in line {names[fault.name]}",
                "names are unique",
            )
        if fault.name is not None:
            names.setdefault(fault.name, line)
        if twin := next((other for other, seen in before if _same_again(seen, fault)), None):
            yield source.at(
                path,
                Code.DUPLICATE,
                f"this is the fault of line {twin}, on the same target at the same time",
                "it would do nothing more; remove one",
            )
        if not draft.doubtful(path):
            before.append((line, fault))


def _times(source: Source, path: Path, fault: Fault, load_end_s: float | None) -> Iterator[Diagnostic]:
    if fault.at < FIRST_FAULT_S:
        yield source.at(
            (*path, "at"),
            Code.BAD_TIMING,
            f"{fault.fault} begins at {fault.at:g}s",
            f"the steady state before it needs {FIRST_FAULT_S:g}s or more",
        )
    if load_end_s is None:
        return
    if fault.at >= load_end_s:
        yield source.at(
            (*path, "at"),
            Code.BAD_TIMING,
            f"{fault.fault} begins at {fault.at:g}s, when nobody arrives any more",
            f"the load ends at {load_end_s:g}s; begin earlier or load longer",
        )
    elif fault.ends_s > load_end_s:
        lasts = next((key for key in ("for", "downtime") if (*path, key) in source.marks), "at")
        yield source.at(
            (*path, lasts),
            Code.BAD_TIMING,
            f"{fault.fault} lasts until {fault.ends_s:g}s",
            f"the load ends at {load_end_s:g}s; end the fault earlier or load longer",
        )


def _target(source: Source, path: Path, fault: Fault, system: System, index: int) -> Iterator[Diagnostic]:
    try:
        # Any seed: which hosts are picked depends on it, not whether they can be.
        resolve(fault.target, system, 0, index, nodes_only=fault.targets == "nodes")
    except TargetError as error:
        for problem in error.problems:
            found, _, rest = problem.partition("; ")
            allowed, _, hint = rest.partition("; ")
            yield source.at(
                (*path, "target", *_within(fault.target, problem)), Code.UNKNOWN_NAME, found, allowed, hint
            )


def _within(target: Target, problem: str) -> Path:
    """Which part of the target a problem is about: the key whose value it quotes, or all of it."""
    ends: list[tuple[Path, Any]] = [((), target)]
    if target.link is not None:
        ends = [(("link", "from"), target.link.from_), (("link", "to"), target.link.to)]
    if named := re.match(r"no (role|zone|node|group) '(.*?)' in system", problem):
        for path, end in ends:
            if end == named[2]:
                return path
            if getattr(end, named[1], None) == named[2]:
                return (*path, named[1])
    if re.search(r"\bpick\b", problem):
        for path, end in ends:
            if getattr(end, "pick", None) is not None:
                return (*path, "pick")
    return ()


def _same_again(first: Fault, second: Fault) -> bool:
    """Whether two faults are one fault said twice: alike, at once, and not on hosts drawn for each."""

    def alike(fault: Fault) -> dict[str, Any]:
        return fault.model_dump(exclude={"name", "at", "for_"})

    overlap = first.at < second.ends_s and second.at < first.ends_s
    return (overlap or first.at == second.at) and not _draws(first.target) and alike(first) == alike(second)


def _draws(target: Target) -> bool:
    ends = [target] if target.link is None else [target.link.from_, target.link.to]
    return any(getattr(end, "pick", None) is not None for end in ends)


def _gates(
    draft: Draft, system: System | None, slos: Mapping[str, Slo | None] | None
) -> Iterator[Diagnostic]:
    source = draft.source
    if draft.source.value.get("gates") == []:
        yield source.at(
            ("gates",), Code.EMPTY, "there is no gate", "an experiment without one proves nothing", key=True
        )
    names: dict[str, int] = {}
    before: list[tuple[int, Gate]] = []
    for index, gate in enumerate(draft.gates):
        if gate is None:
            continue
        path: Path = ("gates", index)
        line = source.mark(path).line
        if gate.name is not None and gate.name in names:
            yield source.at(
                (*path, "name"),
                Code.DUPLICATE,
                f"a gate '{gate.name}' is there already, in line {names[gate.name]}",
                "names are unique",
            )
        if gate.name is not None:
            names.setdefault(gate.name, line)
        twin = next((other for other, seen in before if _nameless(seen) == _nameless(gate)), None)
        if twin is not None:
            yield source.at(path, Code.DUPLICATE, f"this is the gate of line {twin} again", "remove one")
        if not draft.doubtful(path):
            before.append((line, gate))
        yield from _moments(draft, path, gate)
        if isinstance(gate, EventGate):
            if system is not None and gate.event not in system.events:
                events, where = list(system.events), f"system {system.name}"
                yield unknown(source, (*path, "event"), "event", gate.event, events, where)
        elif slos is not None:
            yield from _slo_use(source, path, gate, system, slos)


def _nameless(gate: Gate) -> Gate:
    return gate.model_copy(update={"name": None})


def _moments(draft: Draft, path: Path, gate: Gate) -> Iterator[Diagnostic]:
    """Whether the time that the gate looks at will ever come."""
    source = draft.source
    needs_fault = None
    if isinstance(gate, SloGate):
        needs_fault = "during" if gate.during in ("fault", "after") else None
    else:
        needs_fault = "event" if isinstance(gate, EventGate) else "recovered"
    if needs_fault is not None and not source.value.get("timeline"):
        yield source.at(
            (*path, needs_fault),
            Code.CONFLICT,
            "this gate is about a fault, and there is none",
            "give a timeline, or remove the gate",
        )
    load_end_s, drain_s = _load_end_s(draft), _drain_s(draft)
    faults = [fault for fault in draft.timeline if isinstance(fault, Fault)]
    if (
        not isinstance(gate, RecoveredGate)
        or load_end_s is None
        or drain_s is None
        or not faults
        or len(faults) < len(draft.timeline)
        or any(draft.doubtful(("timeline", index)) for index in range(len(faults)))
    ):
        return
    from_s, until_s = max(fault.ends_s for fault in faults) + gate.within, load_end_s + drain_s
    if from_s >= until_s:
        yield source.at(
            (*path, "within"),
            Code.BAD_TIMING,
            f"this gate looks from {from_s:g}s on",
            f"the run is over at {until_s:g}s; load longer, or end the faults earlier",
        )


def _slo_use(
    source: Source,
    path: Path,
    gate: SloGate | RecoveredGate,
    system: System | None,
    slos: Mapping[str, Slo | None],
) -> Iterator[Diagnostic]:
    key = "slo" if isinstance(gate, SloGate) else "recovered"
    name = gate.slo if isinstance(gate, SloGate) else gate.recovered
    if name not in slos:
        yield unknown(source, (*path, key), "SLO", name, list(slos))
    if gate.target is not None:
        yield from check_share(source, (*path, "target"), gate.target)
    slo = slos.get(name)
    if slo is None:
        return
    yield from _where(source, path, gate.where, slo, system)
    if isinstance(slo, RatioSlo) and gate.at_most is not None:
        yield source.at(
            (*path, "at_most"),
            Code.CONFLICT,
            f"{name} is a ratio",
            "its limit is a target, such as target: 99.9%",
            key=True,
        )
    if isinstance(slo, PercentileSlo):
        if gate.target is not None:
            yield source.at(
                (*path, "target"),
                Code.CONFLICT,
                f"{name} is a percentile",
                f"its limit is at_most, such as at_most: {slo.at_most}",
                key=True,
            )
        if gate.at_most is not None:
            yield from check_limit(source, (*path, "at_most"), gate.at_most, slo)


def _where(
    source: Source, path: Path, where: str | None, slo: Slo, system: System | None
) -> Iterator[Diagnostic]:
    known = None if system is None else table_columns(system, slo.table)
    if where is None or known is None:
        return
    if problem := check_expression(where, known):
        yield source.at((*path, "where"), Code.BAD_EXPRESSION, f"{sql(where)}: {problem}")


def _arms(draft: Draft, system: System | None, slos: Mapping[str, Slo | None] | None) -> Iterator[Diagnostic]:
    source = draft.source
    safeguards = None if system is None else [safeguard.name for safeguard in system.safeguards]
    gated = [
        gate.slo if isinstance(gate, SloGate) else gate.recovered
        for gate in draft.gates
        if gate is not None and not isinstance(gate, EventGate)
    ]
    # A gate that is wrong may be the one that an arm is about.
    unsure = any(
        gate is None
        or draft.doubtful(("gates", index, "slo"))
        or draft.doubtful(("gates", index, "recovered"))
        for index, gate in enumerate(draft.gates)
    ) or any(slos is not None and name not in slos for name in gated)
    before: list[tuple[int, Arm]] = []
    for index, arm in enumerate(draft.arms):
        if arm is None:
            continue
        path: Path = ("arms", index)
        for place, name in enumerate(arm.safeguards):
            at = (*path, "without") if isinstance(arm.without, str) else (*path, "without", place)
            if system is not None and safeguards is not None and name not in safeguards:
                yield unknown(source, at, "safeguard", name, safeguards, f"system {system.name}")
            elif name in arm.safeguards[:place]:
                yield source.at(at, Code.DUPLICATE, f"'{name}' is given twice", "once is enough")
        if slos is not None and arm.slo not in slos:
            yield unknown(source, (*path, "slo"), "SLO", arm.slo, list(slos))
        elif arm.slo not in gated and not unsure:
            yield source.at(
                (*path, "slo"),
                Code.CONFLICT,
                f"no gate of this experiment is about {arm.slo}",
                f"its gates are about {', '.join(dict.fromkeys(gated)) or 'no SLO'}",
            )
        elif slos is not None and (slo := slos.get(arm.slo)) is not None:
            yield from _where(source, path, arm.where, slo, system)
        twin = next((line for line, seen in before if seen == arm), None)
        if twin is not None:
            yield source.at(path, Code.DUPLICATE, f"this is the arm of line {twin} again", "remove one")
        if not draft.doubtful(path):
            before.append((source.mark(path).line, arm))


def _load_end_s(draft: Draft) -> float | None:
    """When the last client arrives; None where not all loads could be understood."""
    loads = [*draft.load.values()]
    ends = [load.for_ for load in loads if load is not None]
    if len(ends) < len(loads) or any(draft.doubtful(("load", name, "for")) for name in draft.load):
        return None
    return max(ends, default=None)


def _drain_s(draft: Draft) -> float | None:
    """None where it could not be understood."""
    try:
        return parse_duration(draft.source.value.get("drain", "60s"))
    except ValueError:
        return None
