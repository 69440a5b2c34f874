from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest

from harness.engine.runtimes import RUNTIMES
from harness.experiment.model import FaultDefinition
from harness.experiment.schema import experiment_schema, slos_schema
from harness.experiment.source import read_source
from harness.faults.catalogue import FAULTS
from harness.gates.registry import gate_kinds
from harness.sli.kinds import SLO_KINDS
from tests.experiment.support import GOOD, SLOS, changed

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
EXPERIMENT_SCHEMA = experiment_schema(FAULTS, gate_kinds(), RUNTIMES)
SLOS_SCHEMA = slos_schema(SLO_KINDS)


def complaints(text: str, schema: dict[str, Any] = EXPERIMENT_SCHEMA) -> list[str]:
    validator = jsonschema.Draft202012Validator(schema)
    return [error.json_path for error in validator.iter_errors(read_source(text, "f").value)]


@pytest.mark.parametrize("schema", [EXPERIMENT_SCHEMA, SLOS_SCHEMA])
def test_they_are_schemas_of_the_dialect_they_name(schema: dict[str, Any]) -> None:
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(schema)


def test_what_is_right_is_right_for_an_editor_too() -> None:
    assert complaints(GOOD) == []
    assert complaints(SLOS, SLOS_SCHEMA) == []


@pytest.mark.parametrize("file", sorted(EXPERIMENTS.rglob("*.chaos.yaml")), ids=lambda file: file.stem)
def test_our_own_experiments_fit(file: Path) -> None:
    assert complaints(file.read_text(encoding="utf-8")) == []


def test_our_own_slos_fit() -> None:
    assert complaints((EXPERIMENTS / "slos.yaml").read_text(encoding="utf-8"), SLOS_SCHEMA) == []


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("title: Losing", "titel: Losing", "$"),
        ("experiment: edge-loss", "experiment: Edge", "$.experiment"),
        ("arrive: 4/s", "arrive: 4", "$.load.viewers.arrive"),
        ("for: 3m", "for: 3minutes", "$.load.viewers.for"),
        ("fault: crash", "fault: crush", "$.timeline[0].fault"),
        ("fault: crash", "fault: crash, delay: 5s", "$.timeline[0]"),
        ("at: 60s, for: 60s", "at: 60s", "$.timeline[0]"),
        ("{role: edge, zone: isp-a, pick: 1}", "{link: {from: a, to: b}}", "$.timeline[0].target"),
        ("    delay: 200ms\n", "", "$.timeline[1]"),
        ("delay: 200ms", "delay: 200", "$.timeline[1].delay"),
        ("at: 100s", "at: 100s, for: 5s", "$.timeline[2]"),
        ("during: fault", "during: faults", "$.gates[1]"),
        ("must: hold", "must: holds", "$.arms[1].must"),
        ("[player.retry, player.abr]", "[]", "$.arms[1].without"),
    ],
)
def test_an_editor_sees_what_is_wrong(old: str, new: str, where: str) -> None:
    assert set(complaints(changed(GOOD, old, new))) == {where}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("  good: ok\n", ""),
        ("  good: ok\n", "  good: ok\n  bad: not ok\n"),
        ("target: 99.9%", "target: 0.999"),
        ("percentile: 95", "percentile: 100"),
        ("playback-success:", "Playback Success:"),
    ],
)
def test_an_editor_sees_what_is_wrong_with_an_slo(old: str, new: str) -> None:
    assert len(complaints(changed(SLOS, old, new), SLOS_SCHEMA)) == 1


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_has_a_definition_with_its_own_keys_described(name: str) -> None:
    definition = EXPERIMENT_SCHEMA["$defs"][f"fault:{name}"]
    fault: type[FaultDefinition] = FAULTS[name]
    keys = {field.alias or key for key, field in fault.model_fields.items()} - (
        {"for"} if fault.instant else set()
    )
    assert set(definition["properties"]) == keys
    assert definition["additionalProperties"] is False
    assert definition["properties"]["fault"]["const"] == name
    assert all(value.get("description") for value in definition["properties"].values())


def test_every_key_of_the_files_is_described() -> None:
    for schema in (
        EXPERIMENT_SCHEMA,
        EXPERIMENT_SCHEMA["$defs"]["gate:slo"],
        SLOS_SCHEMA["$defs"]["RatioSlo"],
    ):
        assert all(value.get("description") for value in schema["properties"].values())
