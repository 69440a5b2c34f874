from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli.options import Json
from harness.cli.outcome import Done

if TYPE_CHECKING:
    from harness.system import System

KINDS = ("experiments", "systems", "safeguards", "faults")
DIRECTORY = Path("experiments")

What = Annotated[
    list[str] | None,
    typer.Argument(
        help=f"What to list: {', '.join(KINDS)}; or paths of experiments. All of it if not given.",
        show_default=False,
    ),
]


def list_(what: What = None, as_json: Json = False) -> Done:
    """List experiments, and what there is to write one with: systems, safeguards, faults."""
    from harness.faults.catalogue import FAULTS
    from harness.system import load_system, system_names

    words = what or list(KINDS)
    kinds = {word for word in words if word in KINDS}
    paths = [Path(word) for word in words if word not in KINDS]
    if "experiments" in kinds and not paths and (what or DIRECTORY.is_dir()):
        paths.append(DIRECTORY)
    found: dict[str, Any] = {}
    if paths:
        found["experiments"] = _experiments(paths)
    systems = [load_system(name) for name in system_names()] if kinds & {"systems", "safeguards"} else []
    if "systems" in kinds:
        found["systems"] = [_system(system) for system in systems]
    if "safeguards" in kinds:
        found["safeguards"] = {
            system.name: {safeguard.name: safeguard.protects for safeguard in system.safeguards}
            for system in systems
        }
    if "faults" in kinds:
        found["faults"] = {name: _fault(model) for name, model in FAULTS.items()}
    print("\n\n".join(section for kind in KINDS if kind in found for section in _sections(kind, found[kind])))
    return Done(0, found)


def _experiments(paths: list[Path]) -> list[dict[str, Any]]:
    from harness.cli.loading import load

    return [
        {
            "name": item.experiment.experiment,
            "title": item.experiment.title,
            "file": item.shown,
            "system": item.experiment.system,
            "tags": list(item.experiment.tags),
        }
        for item in load(paths)
    ]


def _system(system: System) -> dict[str, Any]:
    from dataclasses import fields

    return {
        "name": system.name,
        "workloads": {
            workload.name: f"mixes {', '.join(workload.mixes)}; groups {', '.join(workload.groups)}"
            for workload in system.workloads
        },
        "roles": {
            role: ", ".join(node.name for node in system.topology.role(role))
            for role in system.topology.roles
        },
        "zones": list(system.topology.zones),
        "tables": {
            name: ", ".join(field.name for field in fields(row)) for name, row in system.tables.items()
        },
        "events": dict(system.events),
        "invariants": {invariant.name: invariant.protects for invariant in system.invariants},
    }


def _fault(model: type[Any]) -> str:
    """The first sentence of its description."""
    return " ".join((model.__doc__ or "").split("\n\n")[0].split())


def _sections(kind: str, found: Any) -> list[str]:
    if kind == "experiments":
        return [_table("experiments", {item["name"]: f"{item['title']} ({item['file']})" for item in found})]
    if kind == "faults":
        return [_table("faults", found)]
    if kind == "safeguards":
        return [_table(f"safeguards of {name}", safeguards) for name, safeguards in found.items()]
    return [
        "\n".join(
            [
                f"system {system['name']}",
                f"  zones: {', '.join(system['zones'])}",
                *(
                    _table(f"  {part}", system[part], "    ")
                    for part in ("workloads", "roles", "tables", "events", "invariants")
                ),
            ]
        )
        for system in found
    ] or ["systems\n  none is installed; see docs/own-system.md"]


def _table(title: str, items: dict[str, str], indent: str = "  ") -> str:
    width = max((len(name) for name in items), default=0)
    rows = [f"{indent}{name:<{width}}  {text}".rstrip() for name, text in items.items()]
    return "\n".join([title, *(rows or [f"{indent}none"])])
