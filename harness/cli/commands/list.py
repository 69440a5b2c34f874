from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from harness.cli.options import Json

Paths = Annotated[
    list[Path] | None,
    typer.Argument(
        help="Files or directories; without any, ./experiments if it is there.", show_default=False
    ),
]


def list_(paths: Paths = None, as_json: Json = False) -> int:
    """List experiments, and what there is to write one with: systems, safeguards, workloads, faults."""
    from harness.cli.loading import load
    from harness.cli.outcome import emit_json
    from harness.faults.catalogue import FAULTS
    from harness.system import load_system, system_names

    given = paths or ([Path("experiments")] if Path("experiments").is_dir() else [])
    experiments = [
        {
            "name": item.experiment.experiment,
            "title": item.experiment.title,
            "file": item.shown,
            "tags": list(item.experiment.tags),
        }
        for item in (load(given) if given else ())
    ]
    systems = [_system(load_system(name)) for name in system_names()]
    faults = {name: _first_line(model.__doc__) for name, model in FAULTS.items()}
    if as_json:
        emit_json({"experiments": experiments, "systems": systems, "faults": faults})
        return 0
    _section("experiments", {str(item["name"]): f"{item['title']} ({item['file']})" for item in experiments})
    for system in systems:
        print(f"system {system['name']}")
        for part in ("workloads", "roles", "zones", "tables", "safeguards", "events"):
            _section(f"  {part}", system[part], indent="    ")
    _section("faults", faults)
    return 0


def _system(system: Any) -> dict[str, Any]:
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
        "zones": dict.fromkeys(system.topology.zones, ""),
        "tables": {name: ", ".join(row.__dataclass_fields__) for name, row in system.tables.items()},
        "safeguards": {safeguard.name: safeguard.protects for safeguard in system.safeguards},
        "events": dict(system.events),
    }


def _section(title: str, items: dict[str, str], indent: str = "  ") -> None:
    print(title)
    width = max((len(name) for name in items), default=0)
    for name, text in items.items():
        print(f"{indent}{name:<{width}}  {text}".rstrip())
    if not items:
        print(f"{indent}none")


def _first_line(text: str | None) -> str:
    return (text or "").strip().split("\n")[0]
