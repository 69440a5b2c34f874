"""A reporter of a user's own, in one file."""

from __future__ import annotations

import csv

from harness.engine.events import EngineEvent, SuiteFinished
from harness.report.reporter import Reporter, reporter


@reporter("gates-csv")
class GatesCsv(Reporter):
    """One row for each gate, as CSV."""

    file = "gates.csv"

    def __call__(self, event: EngineEvent) -> None:
        if isinstance(event, SuiteFinished):
            with self.suite_file(event).open("w", encoding="utf-8", newline="") as file:
                rows = csv.writer(file)
                rows.writerow(["experiment", "gate", "verdict"])
                for result in event.results:
                    rows.writerows([result.name, gate.name, gate.verdict.value] for gate in result.gates)
