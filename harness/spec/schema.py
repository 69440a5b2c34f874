"""JSON Schema (draft 2020-12) of what a user writes, for editors: completion and red lines while typing.

In an experiment file, for the YAML language server: `# yaml-language-server: $schema=experiment.schema.json`
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

from harness.spec.model import Experiment, FaultSpec, Gate, PercentileSlo, RatioSlo

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def experiment_schema(faults: Mapping[str, type[FaultSpec]]) -> dict[str, Any]:
    """Of `*.chaos.yaml`, with a definition for every fault of the catalogue."""
    schema = Experiment.model_json_schema(by_alias=True)
    definitions: dict[str, Any] = schema.setdefault("$defs", {})
    branches = []
    for name, model in faults.items():
        own = model.model_json_schema(by_alias=True)
        definitions.update(own.pop("$defs", {}))
        own["properties"]["fault"] = {"const": name, "description": _first_line(model.__doc__)}
        own["required"] = sorted({*own.get("required", ()), "fault", *(() if model.instant else ("for",))})
        definitions[model.__name__] = own
        branches.append({"$ref": f"#/$defs/{model.__name__}"})
    gate = TypeAdapter[Any](Gate).json_schema(by_alias=True)
    definitions.update(gate.pop("$defs", {}))
    schema["properties"]["timeline"] = {
        "type": "array",
        "description": "The faults, each with its time after load begins.",
        "items": {"oneOf": branches},
    }
    return {"$schema": DIALECT, "title": "Chaos experiment", **_without(schema, "title")}


def slos_schema() -> dict[str, Any]:
    """Of `slos.yaml`: SLOs by name."""
    schema = TypeAdapter[Any](RatioSlo | PercentileSlo).json_schema(by_alias=True)
    definitions = schema.pop("$defs", {})
    return {
        "$schema": DIALECT,
        "title": "Service level objectives by name",
        "type": "object",
        "additionalProperties": schema,
        "$defs": definitions,
    }


def _first_line(text: str | None) -> str:
    return (text or "").strip().splitlines()[0] if text else ""


def _without(mapping: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in mapping.items() if name != key}
