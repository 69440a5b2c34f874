"""What docs/experiments.md shows is what the parser takes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from harness.diagnostics import Code
from harness.engine.read import read_experiments
from harness.experiment.load import Load
from harness.experiment.model import Arm, Experiment, FaultDefinition, Target
from harness.experiment.units import BITRATE, BYTES, DURATION, RATE, RATIO
from harness.faults.catalogue import FAULTS
from harness.gates.event import EventGate
from harness.gates.recovered import RecoveredGate
from harness.gates.slo import SloGate
from harness.sli.percentile import PercentileSlo
from harness.sli.ratio import RatioSlo

PAGE = (Path(__file__).parents[2] / "docs" / "experiments.md").read_text(encoding="utf-8")
YAML = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
EXAMPLE = YAML[0]
(SLOS,) = [block for block in YAML if block.startswith("# experiments/slos.yaml")]


def test_the_examples_are_valid_and_fit_the_streaming_system(tmp_path: Path) -> None:
    file = tmp_path / "example.chaos.yaml"
    file.write_text(EXAMPLE, encoding="utf-8")
    (tmp_path / "slos.yaml").write_text(SLOS, encoding="utf-8")
    (loaded,) = read_experiments([file])
    assert loaded.experiment.experiment == "edge-appliance-loss"


@pytest.mark.parametrize(
    "model",
    [
        Experiment,
        Load,
        FaultDefinition,
        Target,
        SloGate,
        EventGate,
        RecoveredGate,
        Arm,
        RatioSlo,
        PercentileSlo,
    ],
)
def test_every_key_is_on_the_page(model: type[BaseModel]) -> None:
    for name, field in model.model_fields.items():
        assert f"`{field.alias or name}`" in PAGE, f"{model.__name__}.{name}"


@pytest.mark.parametrize("units", [DURATION, BITRATE, BYTES, RATIO, RATE])
def test_every_unit_is_on_the_page(units: dict[str, float]) -> None:
    table = PAGE[PAGE.index("| kind | units |") : PAGE.index("* Scalars follow")]
    assert all(re.search(rf"[` ]{re.escape(unit)}[` ]", table) for unit in units)


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_is_on_the_page_as_one_on_servers_or_on_traffic(name: str) -> None:
    kind = "Faults on servers" if FAULTS[name].targets == "nodes" else "Faults on traffic"
    assert re.search(rf"{kind}\s+\([^)]*\b{name}\b", PAGE)


def test_every_code_is_in_the_table_of_diagnostics() -> None:
    page = (Path(__file__).parents[2] / "docs" / "diagnostics.md").read_text(encoding="utf-8")
    table = "\n".join(f"| `{code}` | {code.description} |" for code in Code)
    assert f"| code | meaning |\n|---|---|\n{table}\n" in page
