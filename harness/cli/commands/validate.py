from __future__ import annotations

from harness.cli.command import CommandResult, Json, Matching, Paths, Tags, Var, echo, takes_runtime
from harness.runtime.options import RuntimeOptions


@takes_runtime(default=None)
def validate(
    paths: Paths,
    runtime: RuntimeOptions | None = None,
    matching: Matching = "",
    tag: Tags = None,
    var: Var = None,
    as_json: Json = False,
) -> CommandResult:
    """Check experiment files and their SLOs, and whether the runtime can do what they need. Runs nothing."""
    from harness.cli.matching import Selection
    from harness.cli.selection import load_all
    from harness.experiment.variables import parse_assignments
    from harness.text import plural

    loaded, left_out = load_all(
        paths, runtime, Selection(matching, tuple(tag or ())), parse_assignments("--var", var or ())
    )
    for item in loaded:
        experiment = item.experiment
        parts = [
            plural(len(experiment.timeline), "fault"),
            plural(len(experiment.gates), "gate"),
            plural(len(experiment.arms), "arm"),
        ]
        if experiment.runtime is not None:
            parts.append(f"needs --runtime {experiment.runtime}")
        echo(f"{item.display_path}: {experiment.experiment}: {', '.join(parts)}")
    for one in left_out:
        echo(one)
    print(f"{plural(len(loaded), 'experiment')} valid")
    names = [item.experiment.experiment for item in loaded]
    return CommandResult(0, {"verdict": "valid", "exit_code": 0, "experiments": names})
