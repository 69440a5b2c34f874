"""JSON Schema (draft 2020-12) of experiments and SLOs, for editors: completion, hints and errors while typing.

For the YAML language server, at the top of a file: `# yaml-language-server: $schema=experiment.schema.json`.
A schema knows keys, units and the parameters of each fault; names of a system (roles, SLOs, safeguards) and
SQL are left to `harness validate`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

from harness.experiment.entries import Faults, Gates, SloKinds
from harness.experiment.model import NAME, Experiment, FaultDefinition

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_REF = "#/$defs/{model}"


def experiment_schema(faults: Faults, gates: Gates, runtimes: Iterable[str]) -> dict[str, Any]:
    """Of `*.chaos.yaml`, with a definition for every kind of fault and of gate."""
    definitions: dict[str, Any] = {}
    schema = _schema(Experiment, definitions)
    for key, gate in gates.items():
        definitions[f"gate:{key}"] = _schema(gate, definitions)
    schema["properties"]["gates"] |= {"items": {"anyOf": [_ref(f"gate:{key}") for key in gates]}}
    schema["properties"]["abort_if"] |= {"items": {"anyOf": [_ref(f"gate:{key}") for key in gates]}}
    for name, fault in faults.items():
        definitions[_definition(name)] = _fault(name, fault, definitions)
    schema["properties"]["timeline"] |= {"items": _timeline_item(faults, definitions)}
    schema["properties"]["load"] |= {"minProperties": 1}
    schema["properties"]["runtime"] |= {"enum": list(runtimes)}
    return {
        "$schema": DIALECT,
        "title": "Chaos experiment",
        **schema,
        "$defs": dict(sorted(definitions.items())),
    }


def slos_schema(kinds: SloKinds) -> dict[str, Any]:
    """Of `slos.yaml`: SLOs by name."""
    definitions: dict[str, Any] = {}
    for kind in kinds:
        definitions[kind.__name__] = _schema(kind, definitions)
        if kind.one_of:
            definitions[kind.__name__]["oneOf"] = [{"required": [key]} for key in kind.one_of]
    return {
        "$schema": DIALECT,
        "title": "Service level objectives by name",
        "type": "object",
        "propertyNames": {"pattern": NAME},
        "additionalProperties": {"anyOf": [_ref(kind.__name__) for kind in kinds]},
        "$defs": dict(sorted(definitions.items())),
    }


class _ForPeople(GenerateJsonSchema):
    """Without titles that repeat the key; a key that may be left out is left out rather than null."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def nullable_schema(self, schema: core_schema.NullableSchema) -> dict[str, Any]:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> dict[str, Any]:
        found = super().default_schema(schema)
        # Defaults are in base units, which a file cannot have; descriptions give them.
        if found.get("default") is None or "$ref" in found or "pattern" in found:
            found.pop("default", None)
        return found


def _schema(model: type[BaseModel], definitions: dict[str, Any]) -> dict[str, Any]:
    """The schema of a model; what it refers to goes to `definitions`."""
    schema = model.model_json_schema(by_alias=True, schema_generator=_ForPeople, ref_template=_REF)
    schema.pop("title", None)
    for name, definition in schema.pop("$defs", {}).items():
        definition.pop("title", None)
        definitions.setdefault(name, definition)
    return schema


def _fault(name: str, fault: type[FaultDefinition], definitions: dict[str, Any]) -> dict[str, Any]:
    schema = _schema(fault, definitions)
    properties = schema["properties"]
    properties["fault"] = {"const": name, "description": _first_line(fault.__doc__)}
    required = {*schema.get("required", ()), "fault"}
    if fault.instant:
        properties.pop("for", None)
    else:
        required.add("for")
    if fault.targets == "nodes":
        properties["target"] = {**properties["target"], "not": {"required": ["link"]}}
    return {**schema, "required": [key for key in properties if key in required]}


def _timeline_item(faults: Faults, definitions: dict[str, Any]) -> dict[str, Any]:
    """By its `fault` one of the definitions, so that an editor reports on that fault only."""
    fields = _schema(FaultDefinition, definitions)["properties"].items()
    # Their types are in the definition of the fault.
    common = {key: {"description": value["description"]} for key, value in fields}
    kinds = [{"const": name, "description": _first_line(fault.__doc__)} for name, fault in faults.items()]
    return {
        "type": "object",
        "required": ["at", "fault", "target"],
        "properties": {**common, "fault": {"description": "The name of the fault.", "oneOf": kinds}},
        "allOf": [
            {
                "if": {
                    "type": "object",
                    "properties": {"fault": {"const": name}},
                    "required": ["fault"],
                },
                "then": _ref(_definition(name)),
            }
            for name in faults
        ],
    }


def _definition(fault: str) -> str:
    return f"fault:{fault}"


def _ref(name: str) -> dict[str, str]:
    return {"$ref": _REF.format(model=name)}


def _first_line(text: str | None) -> str:
    return (text or "").strip().partition("\n")[0]
