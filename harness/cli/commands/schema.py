from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from harness.cli.outcome import Done


class Of(StrEnum):
    EXPERIMENT = "experiment"
    SLOS = "slos"


def schema(
    of: Annotated[
        Of, typer.Argument(help="What to describe: an experiment file, or slos.yaml.")
    ] = Of.EXPERIMENT,
) -> Done:
    """Print the JSON Schema of a file, for editors."""
    from harness.cli.outcome import emit_json
    from harness.faults.catalogue import FAULTS
    from harness.spec.schema import experiment_schema, slos_schema

    emit_json(experiment_schema(FAULTS) if of is Of.EXPERIMENT else slos_schema())
    return Done(0)
