from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from harness.cli.command import (
    CommandResult,
    Json,
    Matching,
    Paths,
    Seed,
    Tags,
    Var,
    Without,
    echo,
    takes_runtime,
)
from harness.runtime.options import RuntimeOptions

if TYPE_CHECKING:
    from harness.diagnostics import Diagnostic
    from harness.engine.plan import Plan
    from harness.experiment.load import Load
    from harness.faults.base import Fault


@takes_runtime(default=None)
def plan(
    paths: Paths,
    runtime: RuntimeOptions | None = None,
    seed: Seed = 1,
    matching: Matching = "",
    tag: Tags = None,
    var: Var = None,
    without: Without = None,
    as_json: Json = False,
) -> CommandResult:
    """Show what would happen: the load, the picked targets, the timeline, the gates, the arms."""
    from harness.cli.matching import Selection
    from harness.cli.selection import load_all
    from harness.engine.plan import make_plan
    from harness.errors import UsageError
    from harness.experiment.variables import parse_assignments

    plans: list[Plan] = []
    problems: list[Diagnostic] = []
    loaded, left_out = load_all(
        paths, runtime, Selection(matching, tuple(tag or ())), parse_assignments("--var", var or ())
    )
    for item in loaded:
        try:
            plans.append(make_plan(item, seed, tuple(dict.fromkeys(without or ()))))
        except UsageError as error:
            problems += error.diagnostics
    if problems:
        raise UsageError(problems)
    for number, one_plan in enumerate(plans):
        echo(*([""] if number else []), *_lines(one_plan))
    for one in left_out:
        echo(one)
    return CommandResult(0, {"seed": seed, "experiments": [_document(item) for item in plans]})


SHAPE_WIDTH = 24
"""Columns of the drawing of a load."""


def _document(item: Plan) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "name": item.name,
        "file": item.file,
        "seed": item.seed,
        "without": list(item.without),
        "runtime": item.experiment.runtime,
        "duration_s": item.duration_s,
        "load": {
            name: {
                "workload": load.workload_name(name),
                "segments": [asdict(segment) for segment in load.segments],
                "for_s": load.duration_s,
                "expected_clients": load.expected_clients,
                "mix": load.mix,
            }
            for name, load in item.experiment.load.items()
        },
        "faults": [
            {
                "name": planned.name,
                "fault": planned.fault.fault,
                "at_s": planned.at_s,
                "until_s": planned.until_s,
                "when": None if planned.fault.when is None else planned.fault.when.describe(),
                "targets": list(planned.target.names),
                "parameters": planned.fault.parameters(),
            }
            for planned in item.faults
        ],
        "arms": [{"name": arm.name, "without": sorted(arm.without)} for arm in item.arms],
    }


def _lines(item: Plan) -> list[str]:
    from harness.gates.names import gate_names
    from harness.text import plural

    experiment = item.experiment
    lines = [f"{item.name}: {experiment.title}", f"  file    {item.file}, seed {item.seed}"]
    if experiment.runtime is not None:
        lines.append(f"  runtime {experiment.runtime} only")
    if item.without:
        lines.append(f"  without {', '.join(item.without)}")
    for name, load in experiment.load.items():
        whose = "" if load.workload_name(name) == name else f" (workload {load.workload})"
        lines.append(
            f"  load    {name}{whose}: {_shape(load)} (about {load.expected_clients:.0f}), mix {load.mix}"
        )
    for planned in item.faults:
        settings = "".join(f", {name} {text}" for name, text in _settings(planned.fault))
        until = f" to {planned.until_s:g} s" if planned.fault.lasts_s else ""
        if planned.fault.when is not None:
            lasts = f", for {planned.fault.lasts_s:g} s" if planned.fault.lasts_s else ""
            until = f" or later, at {planned.fault.when.describe()}{lasts}"
        lines.append(
            f"  fault   {planned.at_s:g} s{until}: {planned.name} on {', '.join(planned.target.names)}{settings}"
        )
    if not item.faults:
        lines.append("  fault   none")
    lines += [f"  gate    {name}" for name in gate_names(experiment.gates)]
    for arm in item.arms[1:]:
        wanted = f", must {arm.arm.must}: {arm.arm.slo}" if arm.arm is not None else ""
        lines.append(f"  arm     {arm.name}{wanted}")
    lines.append(f"  lasts   at most {item.duration_s:g} s a run, {plural(len(item.arms), 'run')}")
    return lines


def _shape(load: Load) -> str:
    """`4/s for 60 s`, or a drawing of the rate over time and its highest value."""
    if isinstance(load.arrive, float):
        return f"{load.arrive:g}/s for {load.duration_s:g} s"
    top = max(max(one.from_per_s, one.to_per_s) for one in load.segments)
    levels = "\u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588"
    bars = "".join(
        levels[min(7, int(8 * load.rate_at((column + 0.5) / SHAPE_WIDTH * load.duration_s) / top))]
        for column in range(SHAPE_WIDTH)
    )
    return f"{bars} up to {top:g}/s for {load.duration_s:g} s"


def _settings(fault: Fault) -> Iterator[tuple[str, str]]:
    """What the fault is set to, as people write it; what was left out is left out."""
    from harness.faults.catalogue import parameters
    from harness.sli.formatting import quantity

    for parameter in parameters(type(fault)):
        value = getattr(fault, parameter.name)
        if value is not None:
            yield parameter.name, quantity(value, parameter.unit) if parameter.unit else str(value)
