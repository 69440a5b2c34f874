from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.command import CommandResult, Seed, Without, takes_runtime
from harness.live.options import LiveOptions
from harness.text import one_line

if TYPE_CHECKING:
    from harness.diagnostics import Diagnostic
    from harness.experiment.load import Load
    from harness.live.interactive.protocol import FaultStatus
    from harness.runtime.contract import ServiceFailure
    from harness.system import System


@takes_runtime(only=LiveOptions.name)
def up(
    system: Annotated[str, typer.Argument(help="A system's name (see 'harness list'), or module:attribute.")],
    runtime: LiveOptions,
    arrive: Annotated[
        str, typer.Option(help="Clients of its first workload, such as 1/s. By default there are none.")
    ] = "",
    seed: Seed = 1,
    without: Without = None,
) -> CommandResult:
    """Start a system live and keep it up until Ctrl-C. Apply faults with 'harness fault'."""
    from harness.engine.plan import unknown_safeguards
    from harness.engine.single_fault import SingleFaults
    from harness.errors import UsageError
    from harness.live.interactive.run import Interactive, run_interactive
    from harness.runtime.contract import RunSettings
    from harness.system import find_system

    loaded = find_system(system)
    settings = RunSettings(loaded, seed, frozenset(without or ()), system)
    faults = SingleFaults(loaded, seed, runtime.capabilities())
    what = Interactive(settings, runtime, _loads(loaded, arrive), faults.make)
    problems: list[Diagnostic | str] = [*unknown_safeguards(loaded, sorted(settings.without))]
    if problems := [*problems, *what.problems()]:
        raise UsageError(problems)
    run_interactive(what, _Terminal())
    print("ended; every fault is removed, nothing is left")
    return CommandResult(0)


def _loads(system: System, arrive: str) -> Mapping[str, Load]:
    """Clients of the first workload with its first mix, for as long as the system is up."""
    from harness.errors import UsageError
    from harness.experiment.load import Load
    from harness.experiment.units import parse_rate

    if not arrive:
        return {}
    if parse_rate(arrive) <= 0:
        raise UsageError([f"--arrive {arrive}: must be > 0/s"])
    if not system.workloads:
        raise UsageError([f"--arrive {arrive}: system {system.name} has no workload"])
    workload = system.workloads[0]
    load = {"arrive": arrive, "for": "24h", "mix": next(iter(workload.mixes))}
    return {workload.name: Load.model_validate(load)}


class _Terminal:
    """Prints what happens (`harness.live.interactive.run.Reporter`)."""

    def ready(self, run: str, addresses: Mapping[str, str]) -> None:
        for name, url in addresses.items():
            _print(f"{name:<24}{url}")
        _print(f"up in {run}; apply faults with 'harness fault add' in another terminal; Ctrl-C ends it")

    def fault_changed(self, t_s: float, status: FaultStatus) -> None:
        from harness.cli.commands.fault import describe_status

        _print(f"{t_s:8.1f} s  {describe_status(status)}")

    def service_failed(self, failure: ServiceFailure) -> None:
        _print(f"{failure.t_s:8.1f} s  {failure.host} failed: {failure.error}")


def _print(line: str) -> None:
    print(one_line(line), flush=True)
