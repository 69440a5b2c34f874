"""What a run was asked: its SLOs and when its load ended, as far as its page draws them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import ExperimentError
from harness.experiment.model import Experiment, PercentileSlo, Slo
from harness.experiment.parse import parse_draft, parse_slos
from harness.faults.catalogue import FAULTS
from harness.history.write import ENVIRONMENT, EXPERIMENT, SLOS


@dataclass(frozen=True, slots=True)
class Asked:
    """`load_end_s`: when the last clients arrived, in seconds of the run; None where it is not known."""

    slos: Mapping[str, Slo] = field(default_factory=dict)
    load_end_s: float | None = None

    def percentile(self, slo: str | None, table: str, column: str) -> float:
        """Which percentile an SLO is about, or else the first one on that column of the table, or else 95."""
        on_column = [name for name, one in self.slos.items() if one.table == table and _value(one) == column]
        for name in (slo or "", *on_column):
            found = self.slos.get(name)
            if isinstance(found, PercentileSlo):
                return found.percentile
        return 95.0


def _value(slo: Slo) -> str | None:
    return slo.value if isinstance(slo, PercentileSlo) else None


def asked(run_dir: Path) -> Asked:
    """What can be read of it; nothing where that cannot be understood any more."""
    try:
        environment = json.loads((run_dir / ENVIRONMENT).read_text(encoding="utf-8"))
        text = (run_dir / EXPERIMENT).read_text(encoding="utf-8")
        experiment = parse_draft(text, environment["file"], FAULTS).experiment
        slos, _ = parse_slos((run_dir / SLOS).read_text(encoding="utf-8"), str(environment["slos_file"]))
    except (OSError, ValueError, KeyError, ExperimentError):
        return Asked()
    return Asked(slos, None if experiment is None else load_end_s(experiment))


def load_end_s(experiment: Experiment) -> float | None:
    return max((load.for_ for load in experiment.load.values()), default=None)
