"""What experiments are written with, as documents: for `harness list` and its `--json`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.cli.selection import load_files
from harness.engine.runtimes import RUNTIMES
from harness.faults.base import Fault
from harness.faults.catalogue import FAULTS, parameters
from harness.gates.base import Gate
from harness.gates.registry import gate_kinds
from harness.history.columns import Column, columns
from harness.history.expressions import check_tables
from harness.report.registry import reporter_names
from harness.sim.boundary import BOUNDARY
from harness.sli.formatting import quantity
from harness.system import System, find_system
from harness.text import escape_controls


def find_valid_system(name: str) -> System:
    """Raises InvalidInput."""
    system = find_system(name)
    check_tables(system)
    return system


def list_experiments(paths: list[Path]) -> list[dict[str, Any]]:
    return [
        {
            "name": item.experiment.experiment,
            "title": item.experiment.title,
            "file": item.display_path,
            "system": item.experiment.system,
            "tags": list(item.experiment.tags),
        }
        for item in load_files(paths)
    ]


def describe_system(system: System) -> dict[str, Any]:
    return {
        "name": system.name,
        "zones": list(system.topology.zones),
        "roles": {
            role: ", ".join(node.name for node in system.topology.role(role))
            for role in system.topology.roles
        },
        "workloads": {
            workload.name: {
                "role": workload.role,
                "groups": list(workload.groups),
                "zones": list(workload.zones),
                "mixes": dict(workload.mixes),
            }
            for workload in system.workloads
        },
        "tables": {
            name: ", ".join(f"{column.name} {_type_name(column)}" for column in columns(row))
            for name, row in system.tables.items()
        },
        "events": dict(system.events),
        "invariants": {invariant.name: invariant.protects for invariant in system.invariants},
    }


def _type_name(column: Column) -> str:
    name = {"VARCHAR": "text", "BIGINT": "int", "DOUBLE": "float", "BOOLEAN": "bool"}[column.sql]
    return f"{name} or null" if column.nullable else name


def _describe_fault(model: type[Fault]) -> dict[str, Any]:
    return {
        "about": _summary(model),
        "on": "nodes" if model.targets == "nodes" else "a link, or nodes and clients",
        "takes_for": not model.instant,
        "parameters": {
            parameter.name: {
                "write": parameter.kind,
                "needed": parameter.needed,
                "default": parameter.default,
                "unit": parameter.unit,
                "about": parameter.about,
            }
            for parameter in parameters(model)
        },
    }


def describe_safeguards(system: System) -> dict[str, dict[str, str]]:
    return {system.name: {guard.name: guard.protects for guard in system.safeguards}}


def list_faults() -> dict[str, Any]:
    return {name: _describe_fault(model) for name, model in FAULTS.items()}


def list_gates() -> dict[str, Any]:
    return {key: _describe_gate(model) for key, model in gate_kinds().items()}


def _describe_gate(model: type[Gate]) -> dict[str, Any]:
    return {
        "about": _summary(model),
        "keys": {
            field.alias or name: {"needed": field.is_required(), "about": field.description}
            for name, field in model.model_fields.items()
        },
    }


def _summary(model: type[Fault | Gate]) -> str:
    """The first sentences of its description."""
    return " ".join((model.__doc__ or "").split("\n\n")[0].split())


def list_runtimes() -> dict[str, Any]:
    """With their default options, on this machine."""
    found = {}
    for name, options in RUNTIMES.items():
        capabilities = options.from_arguments({}).capabilities()
        found[name] = {
            "about": options.summary,
            "capabilities": {one.value: how for one, how in capabilities.available.items()},
            "lacks": {one.value: str(lack) for one, lack in capabilities.lacks.items()},
        }
    return found


def list_boundary() -> dict[str, Any]:
    """How virtual time treats what a service may do: simulated, refused, or not seen."""
    return {one.what: f"{one.treatment}: {one.how}" for one in BOUNDARY}


REGISTRIES: Mapping[str, Callable[[], dict[str, Any]]] = {
    "faults": list_faults,
    "gates": list_gates,
    "runtimes": list_runtimes,
    "reporters": reporter_names,
    "boundary": list_boundary,
}
"""What is registered, by kind."""


def format_inventory(found: Mapping[str, Any]) -> str:
    """`found`: documents of `harness.cli.inventory`, by kind."""
    return "\n\n".join(section for kind, documents in found.items() for section in SECTIONS[kind](documents))


def _experiments(found: list[dict[str, Any]]) -> Iterator[str]:
    yield _table("experiments", {item["name"]: f"{item['title']} ({item['file']})" for item in found})


def _systems(found: list[dict[str, Any]]) -> Iterator[str]:
    if not found:
        yield "systems\n  none is installed; see docs/own-system.md"
    for system in found:
        parts = (_table(f"  {part}", system[part], "    ") for part in ("tables", "events", "invariants"))
        yield "\n".join(
            [
                f"system {system['name']}",
                f"  zones: {', '.join(system['zones'])}",
                _table("  roles", system["roles"], "    "),
                *(_workload(name, load) for name, load in system["workloads"].items()),
                *parts,
            ]
        )


def _safeguards(found: dict[str, dict[str, str]]) -> Iterator[str]:
    for name, safeguards in found.items():
        yield _table(f"safeguards of {name}", safeguards)


def _faults(found: dict[str, Any]) -> Iterator[str]:
    yield "\n".join(["faults", *(line for name, fault in found.items() for line in _fault(name, fault))])


def _gates(found: dict[str, Any]) -> Iterator[str]:
    yield "\n".join(["gates", *(_gate(key, gate) for key, gate in found.items())])


def _gate(key: str, gate: dict[str, Any]) -> str:
    keys = {
        name: f"{one['about']}{' (needed)' if one['needed'] else ''}" for name, one in gate["keys"].items()
    }
    return _table(f"  {key}: {gate['about']}", keys, "      ")


def _runtimes(found: dict[str, Any]) -> Iterator[str]:
    for name, runtime in found.items():
        lacks = {capability: f"NO: {lack}" for capability, lack in runtime["lacks"].items()}
        yield _table(f"runtime {name}: {runtime['about']}", {**runtime["capabilities"], **lacks})


def _reporters(found: dict[str, str]) -> Iterator[str]:
    yield _table("reporters", found)


def _boundary(found: dict[str, str]) -> Iterator[str]:
    yield _table("boundary of virtual time", found)


SECTIONS: Mapping[str, Callable[[Any], Iterator[str]]] = {
    "experiments": _experiments,
    "systems": _systems,
    "safeguards": _safeguards,
    "faults": _faults,
    "gates": _gates,
    "runtimes": _runtimes,
    "reporters": _reporters,
    "boundary": _boundary,
}


def _workload(name: str, load: dict[str, Any]) -> str:
    lines = [
        f"  workload {name}: clients of role {load['role']}",
        f"    groups: {', '.join(load['groups'])}",
        f"    zones: {', '.join(load['zones'])}",
        _table("    mixes", load["mixes"], "      "),
    ]
    return "\n".join(lines)


def _fault(name: str, fault: dict[str, Any]) -> Iterator[str]:
    """A fault, and a line for each of its parameters."""
    width = max((len(parameter) for parameter in fault["parameters"]), default=0)
    yield f"  {name}: {fault['about']}"
    yield f"      on {fault['on']}{'' if fault['takes_for'] else '; takes no for'}"
    for key, parameter in fault["parameters"].items():
        need = "needed" if parameter["needed"] else f"{_default(parameter)} if not given"
        yield f"      {key:<{width}}  {parameter['about']} ({parameter['write']}; {need})"


def _default(parameter: dict[str, Any]) -> str:
    """As a person would write it."""
    value = parameter["default"]
    if value is None:
        return "any"
    if isinstance(value, bool):
        return "true" if value else "false"
    return quantity(value, parameter["unit"]).replace(" ", "") if parameter["unit"] else str(value)


def _table(title: str, items: Mapping[str, str], indent: str = "  ") -> str:
    width = max((len(name) for name in items), default=0)
    rows = [escape_controls(f"{indent}{name:<{width}}  {text}".rstrip()) for name, text in items.items()]
    return "\n".join([title, *(rows or [f"{indent}none"])])
