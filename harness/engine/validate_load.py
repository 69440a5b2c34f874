"""Whether the load names workloads and mixes of the system; how long it lasts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from harness.diagnostics import Diagnostic, unknown_name
from harness.experiment.model import Experiment
from harness.experiment.parse import Draft
from harness.experiment.units import parse_duration
from harness.system import System


def validate_loads(draft: Draft, system: System) -> Iterator[Diagnostic]:
    workloads = {workload.name: workload for workload in system.workloads}
    for name, load in draft.load.items():
        workload = workloads.get(name)
        if workload is None:
            unknown = unknown_name("workload", name, workloads, f"system {system.name}")
            yield draft.source.locate(replace(unknown, about_key=True), ("load", name))
        elif load is not None and load.mix not in workload.mixes:
            unknown = unknown_name("mix", load.mix, workload.mixes, f"workload {name}")
            yield draft.source.locate(unknown, ("load", name, "mix"))


def load_end_s(draft: Draft) -> float | None:
    """When the last client arrives; None where a load is not valid."""
    ends = [load.for_ for load in draft.load.values() if load is not None]
    if len(ends) < len(draft.load) or any(draft.is_suspect(("load", name, "for")) for name in draft.load):
        return None
    return max(ends, default=None)


def drain_s(draft: Draft) -> float | None:
    """How long clients may go on after that; None where it is not valid."""
    try:
        return parse_duration(draft.source.value["drain"])
    except KeyError:
        return float(Experiment.model_fields["drain"].default)
    except ValueError:
        return None
