from __future__ import annotations

from harness.cli.options import Json, Paths


def validate(paths: Paths, as_json: Json = False) -> int:
    """Check experiment files and their SLOs without running anything."""
    from harness.cli.loading import load
    from harness.cli.outcome import emit_json

    loaded = load(paths)
    if as_json:
        emit_json(
            {
                "verdict": "valid",
                "exit_code": 0,
                "experiments": [item.experiment.experiment for item in loaded],
            }
        )
        return 0
    for item in loaded:
        experiment = item.experiment
        print(
            f"{item.shown}: {experiment.experiment}: {len(experiment.timeline)} faults, "
            f"{len(experiment.gates)} gates, {len(experiment.arms)} arms"
        )
    print(f"{len(loaded)} experiment{'' if len(loaded) == 1 else 's'} valid")
    return 0
