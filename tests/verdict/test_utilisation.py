"""The note on the processors: which gates bring it, and what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.engine.read import read_experiment
from harness.engine.suite import run

EXPERIMENT = """
experiment: one
title: One node with one core
system: tests.verdict.utilisation_system:system
load:
  askers: {{arrive: 2/s, for: 20s, mix: all}}
gates:
  - {{slo: {slo}}}
"""

SLOS = """
latency: {protects: x, table: asked, value: latency_s, percentile: 90, at_most: 10s}
within: {protects: x, table: asked, good: latency_s < 10, target: 50%}
answered: {protects: x, table: asked, good: ok, target: 50%}
headroom: {protects: x, table: processors, good: utilisation < 0.99, target: 10%}
"""


def notes(slo: str, directory: Path) -> list[str]:
    (directory / "slos.yaml").write_text(SLOS)
    file = directory / "one.chaos.yaml"
    file.write_text(EXPERIMENT.format(slo=slo))
    result = run(read_experiment(file), reports=directory / "reports")
    assert result.gates[0].samples
    return [note for note in result.notes if note.startswith("utilisation")]


@pytest.mark.parametrize("slo", ["latency", "within"])
def test_where_a_time_is_gated_the_utilisation_is_named(slo: str, tmp_path: Path) -> None:
    (note,) = notes(slo, tmp_path)
    assert "api " in note
    assert "never above 10%: idle" in note


@pytest.mark.parametrize("slo", ["answered", "headroom"])
def test_elsewhere_it_is_not_but_it_can_be_gated(slo: str, tmp_path: Path) -> None:
    assert notes(slo, tmp_path) == []
