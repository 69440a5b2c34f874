"""Whether an experiment fits its system: names, targets, times, SLOs and their SQL.

Runs on drafts, so that a mistake in one entry hides none in another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from harness.diagnostics import Code, Diagnostic, Path
from harness.engine.validate_load import drain_s, load_end_s, validate_loads
from harness.engine.validate_slos import check_limit, check_share, table_columns, unknown
from harness.engine.validate_timeline import validate_timeline
from harness.experiment.model import (
    Arm,
    EventGate,
    Gate,
    PercentileSlo,
    RatioSlo,
    RecoveredGate,
    Slo,
    SloGate,
)
from harness.experiment.parse import Draft
from harness.experiment.source import Source
from harness.faults.base import Fault
from harness.history.columns import check_expression
from harness.runtime.capabilities import Capabilities
from harness.system import System


def validate(
    draft: Draft,
    system: System | None,
    slos: Mapping[str, Slo | None] | None,
    capabilities: Capabilities | None,
) -> Iterator[Diagnostic]:
    """Every mistake, in no order, but nothing about placeholders.

    `system` None: it is not known, and its names are not checked. `slos`: one that is not valid is None; None
    for all where their file is not valid, and then nothing else is reported about SLOs. `capabilities`: what the
    runtime can do; None: that is not checked.
    """
    for check in (
        () if system is None else validate_loads(draft, system),
        validate_timeline(draft, system, capabilities),
        _gates(draft, system, slos),
        _arms(draft, system, slos),
    ):
        yield from draft.reliable(check)


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
        if not draft.is_suspect(path):
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
    end_s, draining_s = load_end_s(draft), drain_s(draft)
    faults = [fault for fault in draft.timeline if isinstance(fault, Fault)]
    if (
        not isinstance(gate, RecoveredGate)
        or end_s is None
        or draining_s is None
        or not faults
        or len(faults) < len(draft.timeline)
        or any(draft.is_suspect(("timeline", index)) for index in range(len(faults)))
    ):
        return
    from_s, until_s = max(fault.ends_s for fault in faults) + gate.within, end_s + draining_s
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
        yield source.locate(problem, (*path, "where"))


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
        or draft.is_suspect(("gates", index, "slo"))
        or draft.is_suspect(("gates", index, "recovered"))
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
        if not draft.is_suspect(path):
            before.append((source.mark(path).line, arm))
