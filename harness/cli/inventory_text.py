"""What `harness list` prints."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from harness.sli.formatting import quantity


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


SECTIONS: Mapping[str, Callable[[Any], Iterator[str]]] = {
    "experiments": _experiments,
    "systems": _systems,
    "safeguards": _safeguards,
    "faults": _faults,
    "gates": _gates,
    "runtimes": _runtimes,
    "reporters": _reporters,
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
    rows = [f"{indent}{name:<{width}}  {text}".rstrip() for name, text in items.items()]
    return "\n".join([title, *(rows or [f"{indent}none"])])
