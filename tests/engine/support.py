"""Experiments on the toy system, written to a directory of the test's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import dedent, indent

from harness.engine.events import EngineEvent
from harness.engine.read import ReadyExperiment, read_experiments

SLOS = """
success:
  protects: visits are answered
  table: visits
  good: ok
  target: 92%
speed:
  protects: visits are answered soon
  table: visits
  value: latency_s
  percentile: 90
  at_most: 2s
"""

CRASH = "- {at: 8s, for: 8s, fault: crash, target: {role: backend, zone: east}}"
GATES = "- {slo: success}\n- {slo: speed}"
ARM = "- {without: [gateway.retry, gateway.fallback], must: breach, slo: success}"


def experiment_text(
    name: str = "backend-lost",
    *,
    timeline: str = CRASH,
    gates: str = GATES,
    arms: str = ARM,
    arrive: str = "3/s",
    load_for: str = "20s",
) -> str:
    parts = [
        f"experiment: {name}",
        "title: A shop stays open without one of its backends",
        "system: tests.support.toy_system:system",
        f"load:\n  shoppers: {{arrive: {arrive}, for: {load_for}, mix: all}}",
    ]
    for key, items in (("timeline", timeline), ("gates", gates), ("arms", arms)):
        if items:
            parts.append(f"{key}:\n" + indent(dedent(items).strip(), "  "))
    parts.append("drain: 20s")
    return "\n".join(parts) + "\n"


def write(directory: Path, *texts: str, slos: str = SLOS) -> list[Path]:
    """The experiments and their SLOs as files; returns the experiments'."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "slos.yaml").write_text(slos, encoding="utf-8")
    files = []
    for index, text in enumerate(texts):
        file = directory / f"{index}.chaos.yaml"
        file.write_text(text, encoding="utf-8")
        files.append(file)
    return files


def load(directory: Path, *texts: str, slos: str = SLOS) -> tuple[ReadyExperiment, ...]:
    return read_experiments(write(directory, *texts, slos=slos))


def of_type[E](events: Sequence[EngineEvent], kind: type[E]) -> list[E]:
    return [event for event in events if isinstance(event, kind)]
