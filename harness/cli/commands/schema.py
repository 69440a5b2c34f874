from __future__ import annotations

from typing import Annotated

import typer

from harness.cli.command import CommandResult

KINDS = ("experiment", "slos")


def schema(
    of: Annotated[str, typer.Argument(help=f"What to describe: {' or '.join(KINDS)}.")] = KINDS[0],
) -> CommandResult:
    """Print the JSON Schema of a file, for editors: of an experiment, or of slos.yaml."""
    from harness.cli.command import print_json
    from harness.engine.runtimes import RUNTIMES
    from harness.errors import UsageError
    from harness.experiment.schema import experiment_schema, slos_schema
    from harness.faults.catalogue import FAULTS
    from harness.gates.registry import gate_kinds
    from harness.sli.kinds import SLO_KINDS
    from harness.text import did_you_mean

    if of not in KINDS:
        hint = did_you_mean(of, KINDS)
        raise UsageError([f"schema {of}: use {' or '.join(KINDS)}" + (f"; {hint}" if hint else "")])
    print_json(
        experiment_schema(FAULTS, gate_kinds(), RUNTIMES) if of == KINDS[0] else slos_schema(SLO_KINDS)
    )
    return CommandResult(0)
