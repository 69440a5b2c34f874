from __future__ import annotations

from harness.cli.options import Json, Paths
from harness.cli.outcome import Done


def validate(paths: Paths, as_json: Json = False) -> Done:
    """Check experiment files and their SLOs without running anything."""
    from harness.cli.loading import load
    from harness.text import plural

    loaded = load(paths)
    for item in loaded:
        experiment = item.experiment
        parts = [
            plural(len(experiment.timeline), "fault"),
            plural(len(experiment.gates), "gate"),
            plural(len(experiment.arms), "arm"),
        ]
        if experiment.runtime is not None:
            parts.append(f"needs --runtime {experiment.runtime}")
        print(f"{item.shown}: {experiment.experiment}: {', '.join(parts)}")
    print(f"{plural(len(loaded), 'experiment')} valid")
    names = [item.experiment.experiment for item in loaded]
    return Done(0, {"verdict": "valid", "exit_code": 0, "experiments": names})
