"""What experiments are written with, as documents: for `harness list` and its `--json`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harness.cli.selection import load_files
from harness.engine.runtimes import RUNTIMES
from harness.faults.base import Fault
from harness.faults.catalogue import FAULTS
from harness.faults.parameters import parameters
from harness.gates.base import Gate
from harness.gates.registry import gate_kinds
from harness.history.charts import check_tables
from harness.history.columns import Column, columns
from harness.report.registry import reporter_names
from harness.system import System, find_system


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


REGISTRIES: Mapping[str, Callable[[], dict[str, Any]]] = {
    "faults": list_faults,
    "gates": list_gates,
    "runtimes": list_runtimes,
    "reporters": reporter_names,
}
"""What is registered, by kind."""
