"""The names of the files in a run directory, and of the table of events."""

from __future__ import annotations

EXPERIMENT = "experiment.yaml"
SLOS = "slos.yaml"
METADATA = "metadata.json"
ENVIRONMENT = "environment.json"
VERDICT = "verdict.json"

EVENTS = "events"
