from __future__ import annotations

from typing import Annotated

import typer

from harness.cli.options import Seed, Without
from harness.cli.outcome import Done
from harness.cli.runtime_options import takes_runtime
from harness.live.options import LiveOptions


@takes_runtime(only=LiveOptions.name)
def up(
    system: Annotated[str, typer.Argument(help="A system's name (see 'harness list'), or module:attribute.")],
    runtime: LiveOptions,
    arrive: Annotated[
        str, typer.Option(help="Clients of its first workload, such as 1/s; nobody if not given.")
    ] = "",
    seed: Seed = 1,
    without: Without = None,
) -> Done:
    """Bring a system up live, for a person to look at; faults with 'harness fault'. Ctrl-C ends it."""
    from harness.cli.outcome import usage
    from harness.engine.up import Up, bring_up
    from harness.errors import UsageError
    from harness.experiment.units import parse_rate
    from harness.live.run_lock import LiveUnavailable
    from harness.runtime.contract import NotReady
    from harness.system import InvalidSystem, find_system

    try:
        rate = parse_rate(arrive) if arrive else 0.0
        if arrive and rate <= 0:
            raise usage(f"--arrive {arrive}: brings nobody; give more than 0/s, or leave it out")
        bring_up(Up(system, find_system(system), seed, frozenset(without or ()), rate, runtime), _tell)
    except UsageError as error:
        raise usage(*error.problems) from error
<<<<<<< HEAD
    except (UnknownSystem, LiveUnavailable, NotReady, ValueError) as error:
=======
    except (InvalidSystem, NoSlot, NotReady, ValueError) as error:
>>>>>>> main
        raise usage(str(error)) from error
    return Done(0)


def _tell(line: str) -> None:
    print(line, flush=True)
