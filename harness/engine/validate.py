"""Whether an experiment fits its system: names, targets, times, SLOs and their SQL.

Runs on drafts, so that a mistake in one entry hides none in another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from harness.diagnostics import Code, Diagnostic, Path, unknown_name
from harness.engine.runtimes import RUNTIMES
from harness.engine.targets import TargetError, resolve
from harness.engine.triggers import condition_names
from harness.experiment.model import Arm, Experiment, Target
from harness.experiment.parse import Draft, SlosDraft
from harness.experiment.source import Source
from harness.experiment.units import parse_duration
from harness.faults.base import Fault
from harness.faults.primitives import Capability
from harness.gates.base import CheckContext, Gate
from harness.history.columns import Column
from harness.runtime.options import Capabilities
from harness.sli.base import Slo
from harness.sli.checks import check_slo, check_sql, check_where
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
        _validate_runtime(draft),
        () if system is None or capabilities is None else _programs(draft, system, capabilities),
        () if system is None else validate_loads(draft, system),
        validate_timeline(draft, system, capabilities),
        _unused_targets(draft),
        validate_gates(draft, system, slos),
        validate_abort_conditions(draft, system, slos),
        validate_arms(draft, system, slos),
    ):
        yield from draft.reliable(check)


def _validate_runtime(draft: Draft) -> Iterator[Diagnostic]:
    runtime = draft.source.value.get("runtime")
    if isinstance(runtime, str) and runtime not in RUNTIMES:
        yield draft.source.locate(unknown_name("runtime", runtime, RUNTIMES), ("runtime",))


IN_PROCESS = frozenset({Capability.HTTP, Capability.SKEW, Capability.DISK, Capability.RESOLVE})
"""What needs code of the harness in the process of a node."""


def _programs(draft: Draft, system: System, capabilities: Capabilities) -> Iterator[Diagnostic]:
    """What cannot be done with nodes that are programs, or that run already."""
    if not capabilities.programs:
        for node in system.topology.nodes:
            if node.service is None:
                found = f"nothing stands in for node '{node.name}' in virtual time"
                allowed = "a service for it beside its command or external address, or --runtime live"
                yield draft.source.at(("system",), Code.UNSUPPORTED, found, allowed)
        return
    for index, fault in enumerate(draft.timeline):
        if not isinstance(fault, Fault) or fault.targets != "nodes" or not isinstance(fault.target, Target):
            continue
        try:
            names = resolve(fault.target, system, 0, index, nodes_only=True).names
        except TargetError:
            continue
        for node in system.topology.nodes:
            if node.name not in names or not (node.command or node.external):
                continue
            if node.external or fault.needed() & IN_PROCESS:
                what = "runs already" if node.external else "is a program"
                found = f"{fault.fault} at '{node.name}', which {what}"
                allowed = "faults on its links" if node.external else "faults on its process and on its links"
                yield draft.source.at(("timeline", index, "fault"), Code.UNSUPPORTED, found, allowed)


def validate_loads(draft: Draft, system: System) -> Iterator[Diagnostic]:
    workloads = {workload.name: workload for workload in system.workloads}
    for name, load in draft.load.items():
        named = name if load is None else load.workload_name(name)
        workload = workloads.get(named)
        if workload is None:
            unknown = unknown_name("workload", named, workloads, f"system {system.name}")
            path: Path = ("load", name) if named == name else ("load", name, "workload")
            yield draft.source.locate(replace(unknown, about_key=named == name), path)
        elif load is not None and load.mix not in workload.mixes:
            unknown = unknown_name("mix", load.mix, workload.mixes, f"workload {named}")
            yield draft.source.locate(unknown, ("load", name, "mix"))


def load_end_s(draft: Draft) -> float | None:
    """When the last client arrives; None where a load is not valid."""
    ends = [load.duration_s for load in draft.load.values() if load is not None]
    if len(ends) < len(draft.load):
        return None
    for name, load in draft.load.items():
        key = "arrive" if load is None or load.for_ is None else "for"
        if draft.is_suspect(("load", name, key)):
            return None
    return max(ends, default=None)


def drain_s(draft: Draft) -> float | None:
    """How long clients may go on after that; None where it is not valid."""
    try:
        return parse_duration(draft.source.value["drain"])
    except KeyError:
        return float(Experiment.model_fields["drain"].default)
    except ValueError:
        return None


def validate_gates(
    draft: Draft, system: System | None, slos: Mapping[str, Slo | None] | None
) -> Iterator[Diagnostic]:
    source = draft.source
    if source.value.get("gates", []) == [] and system is not None and not system.invariants:
        stated = "gates" in source.value
        yield source.at(
            ("gates",) if stated else (),
            Code.EMPTY if stated else Code.MISSING_KEY,
            "there is no gate",
            f"system {system.name} has no invariants, so 'gates' needs at least one",
            key=True,
        )
    context = CheckContext(system, slos, _faults_end_s(draft), _run_end_s(draft), _last_fault_start_s(draft))
    names: dict[str, int] = {}
    before: dict[str, int] = {}
    for index, gate in enumerate(draft.gates):
        if not isinstance(gate, Gate):
            continue
        path: Path = ("gates", index)
        line = source.mark(path).line
        if gate.name is not None and gate.name in names:
            found = f"duplicate gate name '{gate.name}' (first on line {names[gate.name]})"
            yield source.at((*path, "name"), Code.DUPLICATE, found, "names are unique")
        if gate.name is not None:
            names.setdefault(gate.name, line)
        claim = repr(gate.model_copy(update={"name": None}))
        if claim in before:
            found = f"duplicate gate (first on line {before[claim]})"
            yield source.at(path, Code.DUPLICATE, found, "remove one")
        elif not draft.is_suspect(path):
            before[claim] = line
        if gate.fault_key is not None and not source.value.get("timeline"):
            yield source.at(
                (*path, gate.fault_key),
                Code.CONFLICT,
                "the gate is about a fault, and there is none",
                "give a timeline, or remove the gate",
            )
        for problem in gate.check(context):
            yield source.locate(problem, path)


def validate_abort_conditions(
    draft: Draft, system: System | None, slos: Mapping[str, Slo | None] | None
) -> Iterator[Diagnostic]:
    source = draft.source
    context = CheckContext(system, slos, _faults_end_s(draft), _run_end_s(draft), _last_fault_start_s(draft))
    for index, gate in enumerate(draft.abort_if):
        if not isinstance(gate, Gate):
            continue
        path: Path = ("abort_if", index)
        if not gate.can_abort:
            yield source.at(
                (*path, gate.key),
                Code.CONFLICT,
                f"{gate.key} cannot stop a run: it may be breached now and hold at the end",
                "use slo, never, max, min, mean, burn_rate, or count, events and rate with at_most alone",
            )
        for problem in gate.check(context):
            yield source.locate(problem, path)


def _faults_end_s(draft: Draft) -> float | None:
    """When the last fault ends; None without faults, and where one is not valid."""
    return max((fault.ends_s for fault in _faults(draft)), default=None)


def _last_fault_start_s(draft: Draft) -> float | None:
    """When the last fault begins; None without faults, and where one is not valid."""
    return max((fault.starts_s[-1] for fault in _faults(draft)), default=None)


def _faults(draft: Draft) -> list[Fault]:
    """All faults; none where one is not valid."""
    faults = [fault for fault in draft.timeline if isinstance(fault, Fault)]
    if len(faults) < len(draft.timeline) or any(
        draft.is_suspect(("timeline", index)) for index in range(len(faults))
    ):
        return []
    return faults


def _run_end_s(draft: Draft) -> float | None:
    """When the run is over at the latest; None where the load or the drain is not valid."""
    end_s, draining_s = load_end_s(draft), drain_s(draft)
    return None if end_s is None or draining_s is None else end_s + draining_s


def validate_arms(
    draft: Draft, system: System | None, slos: Mapping[str, Slo | None] | None
) -> Iterator[Diagnostic]:
    source = draft.source
    gates = [gate for gate in draft.gates if isinstance(gate, Gate)]
    gated = [gate.slo_name for gate in gates if gate.slo_name is not None]
    # A gate that is wrong may be the one that an arm is about.
    unsure = any(
        gate is None or draft.is_suspect(("gates", index, gate.key)) for index, gate in enumerate(draft.gates)
    ) or any(slos is not None and name not in slos for name in gated)
    before: dict[Arm, int] = {}
    for index, arm in enumerate(draft.arms):
        if arm is None:
            continue
        path: Path = ("arms", index)
        for problem in _safeguards(arm, system):
            yield source.locate(problem, path)
        if slos is not None and arm.slo not in slos:
            yield source.locate(unknown_name("SLO", arm.slo, slos), (*path, "slo"))
        elif arm.slo not in gated and not unsure:
            yield source.at(
                (*path, "slo"),
                Code.CONFLICT,
                f"no gate of this experiment is about {arm.slo}",
                f"its gates are about {', '.join(dict.fromkeys(gated)) or 'no SLO'}",
            )
        elif slos is not None and (slo := slos.get(arm.slo)) is not None:
            for problem in check_where(arm.where, slo, system):
                yield source.locate(problem, path)
        if arm in before:
            found = f"duplicate arm (first on line {before[arm]})"
            yield source.at(path, Code.DUPLICATE, found, "remove one")
        elif not draft.is_suspect(path):
            before[arm] = source.mark(path).line


def _safeguards(arm: Arm, system: System | None) -> Iterator[Diagnostic]:
    """What is wrong with `without`, at paths below the arm."""
    known = None if system is None else [safeguard.name for safeguard in system.safeguards]
    for place, name in enumerate(arm.safeguards):
        path: Path = ("without",) if isinstance(arm.without, str) else ("without", place)
        if system is not None and known is not None and name not in known:
            yield unknown_name("safeguard", name, known, f"system {system.name}").below(path)
        elif name in arm.safeguards[:place]:
            yield Diagnostic(Code.DUPLICATE, f"'{name}' is given twice", "once is enough", path=path)


def validate_slos(draft: SlosDraft, system: System | None) -> Iterator[Diagnostic]:
    """Every mistake in the SLOs, but nothing about placeholders.

    `system` None: it could not be loaded, and its tables are not known.
    """
    for name, slo in draft.slos.items():
        if isinstance(slo, Slo):
            yield from draft.reliable(
                draft.source.locate(problem, (name,)) for problem in check_slo(slo, system)
            )


FIRST_FAULT_S = 5.0
"""No fault begins earlier: the steady state before it must be observed."""


def validate_timeline(
    draft: Draft, system: System | None, capabilities: Capabilities | None
) -> Iterator[Diagnostic]:
    source = draft.source
    end_s = load_end_s(draft)
    names: dict[str, int] = {}
    earlier: dict[str, list[tuple[int, Fault]]] = {}
    for index, fault in enumerate(draft.timeline):
        path: Path = ("timeline", index)
        if not isinstance(fault, Fault):
            continue
        if capabilities is not None:
            yield from check_fault(source, index, fault, capabilities)
        if not draft.is_suspect((*path, "at")):
            yield from _times(source, path, fault, end_s, _run_end_s(draft))
        if system is not None:
            yield from _target(draft, path, fault, system, index)
            yield from _trigger(source, path, fault, system)
        line = source.mark(path).line
        if fault.name is not None and fault.name in names:
            found = f"duplicate fault name '{fault.name}' (first on line {names[fault.name]})"
            yield source.at((*path, "name"), Code.DUPLICATE, found)
        if fault.name is not None:
            names.setdefault(fault.name, line)
        if _picks(fault.target):
            continue  # hosts are drawn for each
        alike = earlier.setdefault(repr(fault.model_dump(exclude={"name", "at", "for_"})), [])
        first = next((other for other, seen in alike if _overlap(seen, fault)), None)
        if first is not None:
            found = f"duplicate fault (first on line {first}): same target, same time"
            yield source.at(path, Code.DUPLICATE, found, "remove one")
        elif not draft.is_suspect(path):
            alike.append((line, fault))


def _times(
    source: Source, path: Path, fault: Fault, load_end_s: float | None, run_end_s: float | None
) -> Iterator[Diagnostic]:
    if fault.at < FIRST_FAULT_S:
        yield source.at(
            (*path, "at"),
            Code.BAD_TIMING,
            f"{fault.fault} begins at {fault.at:g}s",
            f"the steady state before it needs at least {FIRST_FAULT_S:g}s",
        )
    if load_end_s is None or run_end_s is None:
        return
    if "drain" in source.value:
        ends = f"the load ends at {load_end_s:g}s and clients may continue until {run_end_s:g}s"
        more = "or extend the load or the drain"
    else:
        # Nobody says that clients live on: a fault that outlives the load would meet nobody.
        run_end_s = load_end_s
        ends, more = (
            f"the load ends at {load_end_s:g}s",
            "extend the load, or state with 'drain' how long clients go on",
        )
    if fault.at >= run_end_s:
        yield source.at(
            (*path, "at"),
            Code.BAD_TIMING,
            f"{fault.fault} begins at {fault.at:g}s, after the run",
            f"{ends}; begin earlier, {more}",
        )
    elif fault.ends_s > run_end_s:
        key = next((key for key in ("for", "downtime") if (*path, key) in source.marks), "at")
        yield source.at(
            (*path, key),
            Code.BAD_TIMING,
            f"{fault.fault} lasts until {fault.ends_s:g}s",
            f"{ends}; end the fault earlier, {more}",
        )


def _target(draft: Draft, path: Path, fault: Fault, system: System, index: int) -> Iterator[Diagnostic]:
    stated, at = fault.target, (*path, "target")
    if isinstance(stated, str):
        if stated not in draft.targets:
            unknown = unknown_name("target", stated, draft.targets, also="a mapping such as {role: edge}")
            yield draft.source.locate(unknown, at)
            return
        target, at = draft.targets[stated], ("targets", stated)
        if target is None or draft.is_suspect(at):
            return
    else:
        target = stated
    try:
        # Any seed: it decides which hosts are picked, not whether they can be.
        resolve(target, system, 0, index, nodes_only=fault.targets == "nodes")
    except TargetError as error:
        yield from (draft.source.locate(one, at) for one in error.diagnostics)


def _trigger(source: Source, path: Path, fault: Fault, system: System) -> Iterator[Diagnostic]:
    if fault.when is None:
        return
    at, when = (*path, "when"), fault.when
    if when.event not in system.events:
        unknown = unknown_name("event", when.event, system.events, f"system {system.name}")
        yield source.locate(unknown, (*at, "event"))
    if when.where is not None:
        columns = tuple(Column(name, "VARCHAR", True) for name in condition_names(when.where))
        for problem in check_sql(("where",), when.where, columns):
            yield source.locate(problem, at)


def _unused_targets(draft: Draft) -> Iterator[Diagnostic]:
    entries = draft.source.value.get("timeline")
    used = (
        [entry.get("target") for entry in entries if isinstance(entry, dict)]
        if isinstance(entries, list)
        else []
    )
    for name in draft.targets:
        if name not in used:
            found = f"no fault acts on the target '{name}'"
            yield draft.source.at(("targets", name), Code.UNUSED, found, "use it, or remove it", key=True)


def _overlap(first: Fault, second: Fault) -> bool:
    return first.at == second.at or (first.at < second.ends_s and second.at < first.ends_s)


def _picks(target: Target | str) -> bool:
    if isinstance(target, str):
        return False
    ends = [target] if target.link is None else [target.link.from_, target.link.to]
    return any(getattr(end, "pick", None) is not None for end in ends)


def check_fault(source: Source, index: int, fault: Fault, capabilities: Capabilities) -> Iterator[Diagnostic]:
    """What of the fault at that place of the timeline cannot be done."""
    for lack in capabilities.missing(fault.needed()):
        yield source.at(
            ("timeline", index, "fault"), Code.UNSUPPORTED, f"{fault.fault}: {lack.reason}", lack.instead
        )
