from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli.options import Json
from harness.cli.outcome import Done

if TYPE_CHECKING:
    from harness.faults.base import Fault
    from harness.history.columns import Column
    from harness.system import System

KINDS = ("experiments", "systems", "safeguards", "faults")
DIRECTORY = Path("experiments")

What = Annotated[
    list[str] | None,
    typer.Argument(
        help=f"What to list: {', '.join(KINDS)}; or a system (a name, or module:attribute of your own); "
        "or paths of experiments. All of the first if not given.",
        show_default=False,
    ),
]


def list_(what: What = None, as_json: Json = False) -> Done:
    """List experiments, and what there is to write one with: systems, safeguards, faults."""
    from harness.faults.catalogue import FAULTS
    from harness.system import system_names

    words = what or list(KINDS)
    kinds = {word for word in words if word in KINDS}
    named = [word for word in words if word not in KINDS and _is_system(word)]
    paths = [Path(word) for word in words if word not in KINDS and word not in named]
    _refuse_misspelt(paths)
    if "experiments" in kinds and not paths and (what or DIRECTORY.is_dir()):
        paths.append(DIRECTORY)
    found: dict[str, Any] = {}
    if paths:
        found["experiments"] = _experiments(paths)
    listed = system_names() if kinds & {"systems", "safeguards"} else ()
    systems = {name: _load(name) for name in dict.fromkeys([*listed, *named])}
    if "systems" in kinds or named:
        shown = systems if "systems" in kinds else named
        found["systems"] = [_system(systems[name]) for name in shown]
    if "safeguards" in kinds or named:
        shown = systems if "safeguards" in kinds else named
        found["safeguards"] = {
            systems[name].name: {guard.name: guard.protects for guard in systems[name].safeguards}
            for name in shown
        }
    if "faults" in kinds:
        found["faults"] = {name: _fault(model) for name, model in FAULTS.items()}
    print("\n\n".join(section for kind in KINDS if kind in found for section in _sections(kind, found[kind])))
    return Done(0, found)


def _is_system(word: str) -> bool:
    from harness.system import system_names

    return (":" in word or word in system_names()) and not Path(word).exists()


def _refuse_misspelt(paths: list[Path]) -> None:
    """A word that is no path and nearly one of `KINDS` is meant as that."""
    from harness.cli.outcome import usage
    from harness.text import did_you_mean

    hints = {str(path): did_you_mean(str(path), KINDS) for path in paths if not path.exists()}
    found = [
        f"list {word}: there are {', '.join(KINDS)}, a system, or a path of experiments; {hint}"
        for word, hint in hints.items()
        if hint
    ]
    if found:
        raise usage(*found)


def _load(name: str) -> System:
    from harness.cli.outcome import usage
    from harness.history.columns import TableError, columns
    from harness.system import UnknownSystem, load_system

    try:
        system = load_system(name)
        for row_type in system.tables.values():
            columns(row_type)
    except (UnknownSystem, TableError) as error:
        raise usage(str(error)) from error
    return system


def _experiments(paths: list[Path]) -> list[dict[str, Any]]:
    from harness.cli.selection import load_files

    return [
        {
            "name": item.experiment.experiment,
            "title": item.experiment.title,
            "file": item.shown,
            "system": item.experiment.system,
            "tags": list(item.experiment.tags),
        }
        for item in load_files(paths)
    ]


def _system(system: System) -> dict[str, Any]:
    from harness.history.columns import columns

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
            name: ", ".join(f"{column.name} {_type(column)}" for column in columns(row))
            for name, row in system.tables.items()
        },
        "events": dict(system.events),
        "invariants": {invariant.name: invariant.protects for invariant in system.invariants},
    }


def _type(column: Column) -> str:
    name = {"VARCHAR": "text", "BIGINT": "int", "DOUBLE": "float", "BOOLEAN": "bool"}[column.sql]
    return f"{name} or null" if column.nullable else name


def _fault(model: type[Fault]) -> dict[str, Any]:
    from harness.faults.parameters import parameters

    return {
        # The first sentences of its description.
        "about": " ".join((model.__doc__ or "").split("\n\n")[0].split()),
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


def _sections(kind: str, found: Any) -> list[str]:
    if kind == "experiments":
        return [_table("experiments", {item["name"]: f"{item['title']} ({item['file']})" for item in found})]
    if kind == "faults":
        return [
            "\n".join(["faults", *(line for name, fault in found.items() for line in _told(name, fault))])
        ]
    if kind == "safeguards":
        return [_table(f"safeguards of {name}", safeguards) for name, safeguards in found.items()]
    return [
        "\n".join(
            [
                f"system {system['name']}",
                f"  zones: {', '.join(system['zones'])}",
                _table("  roles", system["roles"], "    "),
                *(_workload(name, load) for name, load in system["workloads"].items()),
                *(_table(f"  {part}", system[part], "    ") for part in ("tables", "events", "invariants")),
            ]
        )
        for system in found
    ] or ["systems\n  none is installed; see docs/own-system.md"]


def _workload(name: str, load: dict[str, Any]) -> str:
    lines = [
        f"  workload {name}: clients of role {load['role']}",
        f"    groups: {', '.join(load['groups'])}",
        f"    zones: {', '.join(load['zones'])}",
        _table("    mixes", load["mixes"], "      "),
    ]
    return "\n".join(lines)


def _told(name: str, fault: dict[str, Any]) -> list[str]:
    """A fault and a line for each of its parameters."""
    width = max((len(parameter) for parameter in fault["parameters"]), default=0)
    lines = [f"  {name}: {fault['about']}"]
    lines.append(f"      on {fault['on']}{'' if fault['takes_for'] else '; takes no for'}")
    for parameter, told in fault["parameters"].items():
        need = "needed" if told["needed"] else f"{_default(told)} if not given"
        lines.append(f"      {parameter:<{width}}  {told['about']} ({told['write']}; {need})")
    return lines


def _default(told: dict[str, Any]) -> str:
    """As a person would write it."""
    from harness.sli.formatting import quantity

    value = told["default"]
    if value is None:
        return "any"
    if isinstance(value, bool):
        return "true" if value else "false"
    return quantity(value, told["unit"]).replace(" ", "") if told["unit"] else str(value)


def _table(title: str, items: dict[str, str], indent: str = "  ") -> str:
    width = max((len(name) for name in items), default=0)
    rows = [f"{indent}{name:<{width}}  {text}".rstrip() for name, text in items.items()]
    return "\n".join([title, *(rows or [f"{indent}none"])])
