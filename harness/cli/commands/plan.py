from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.cli.options import Json, Paths, Seed, Without

if TYPE_CHECKING:
    from harness.engine.plan import Plan


def plan(paths: Paths, seed: Seed = 1, without: Without = None, as_json: Json = False) -> int:
    """Show what would happen: the load, the picked targets, the timeline, the gates, the arms."""
    from harness.cli.loading import load
    from harness.cli.outcome import emit_json, usage
    from harness.engine.plan import UsageError
    from harness.engine.plan import plan as make_plan

    try:
        plans = [make_plan(item, seed, tuple(without or ())) for item in load(paths)]
    except UsageError as error:
        raise usage(*error.problems) from error
    if as_json:
        emit_json({"seed": seed, "experiments": [_document(item) for item in plans]})
    else:
        print("\n\n".join(_text(item) for item in plans))
    return 0


def _document(item: Plan) -> dict[str, Any]:
    return {
        "name": item.name,
        "file": item.file,
        "seed": item.seed,
        "without": list(item.without),
        "duration_s": item.duration_s,
        "load": {
            name: {"arrive_per_s": load.arrive, "for_s": load.for_, "mix": load.mix}
            for name, load in item.experiment.load.items()
        },
        "faults": [
            {
                "name": planned.name,
                "fault": planned.fault.fault,
                "at_s": planned.at_s,
                "until_s": planned.until_s,
                "targets": list(planned.target.names),
                "parameters": planned.fault.parameters(),
            }
            for planned in item.faults
        ],
        "arms": [{"name": arm.name, "without": sorted(arm.without)} for arm in item.arms],
    }


def _text(item: Plan) -> str:
    from harness.verdict.names import gate_name

    experiment = item.experiment
    lines = [f"{item.name}: {experiment.title}", f"  file    {item.file}, seed {item.seed}"]
    for name, load in experiment.load.items():
        expected = load.arrive * load.for_
        lines.append(
            f"  load    {name}: {load.arrive:g}/s for {load.for_:g} s (about {expected:.0f}), mix {load.mix}"
        )
    for planned in item.faults:
        given = {key: value for key, value in planned.fault.parameters().items() if value is not None}
        settings = "".join(f", {key} {value}" for key, value in given.items() if key != "fault")
        until = f" to {planned.until_s:g} s" if planned.fault.lasts_s else ""
        lines.append(
            f"  fault   {planned.at_s:g} s{until}: {planned.name} on {', '.join(planned.target.names)}{settings}"
        )
    if not item.faults:
        lines.append("  fault   none")
    lines += [f"  gate    {gate_name(gate)}" for gate in experiment.gates]
    for arm in item.arms[1:]:
        wanted = f"must {arm.arm.must}: {arm.arm.slo}" if arm.arm is not None else ""
        lines.append(f"  arm     {arm.name}, {wanted}")
    lines.append(f"  lasts   at most {item.duration_s:g} s of virtual time an arm, {len(item.arms)} arms")
    return "\n".join(lines)
