"""`run_interactive`: brings a system up, and keeps it up until it is interrupted."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from harness.errors import UsageError
from harness.experiment.load import Load
from harness.live.interactive.control_server import ControlServer, MakeFault
from harness.live.interactive.protocol import CONTROL, FaultStatus
from harness.live.options import KERNEL, LiveOptions
from harness.live.runtime import LiveRuntime, LiveSession
from harness.runtime.contract import RunSettings, ServiceFailure, Session
from harness.runtime.interrupt import cancelled_by_signals

REPORT_EVERY_S = 0.5
"""How often failures of nodes are looked for."""


class Reporter(Protocol):
    """Hears what happens to a system that is up. `t_s`: run seconds."""

    def ready(self, run: str, addresses: Mapping[str, str]) -> None: ...

    def fault_changed(self, t_s: float, status: FaultStatus) -> None: ...

    def service_failed(self, failure: ServiceFailure) -> None: ...


@dataclass(frozen=True, slots=True)
class Interactive:
    """What is brought up. `loads`: the clients, by workload; none without."""

    settings: RunSettings
    options: LiveOptions
    loads: Mapping[str, Load]
    make_fault: MakeFault

    def problems(self) -> tuple[str, ...]:
        """Everything that speaks against it on this machine."""
        unreachable = f"--network {KERNEL}: its addresses cannot be reached from outside of the run"
        return (*([unreachable] if self.options.network == KERNEL else []), *self.options.problems())


def run_interactive(what: Interactive, reporter: Reporter) -> None:
    """Run until interrupted (Ctrl-C, SIGTERM); then faults are undone and everything ends.

    Raises UsageError when it cannot run here, and what `LiveRuntime.run` raises.
    """
    if problems := what.problems():
        raise UsageError(problems)
    LiveRuntime(what.options).run(what.settings, lambda session: _serve(session, what, reporter))


async def _serve(session: Session, what: Interactive, reporter: Reporter) -> None:
    assert isinstance(session, LiveSession)
    main = asyncio.current_task()
    assert main is not None
    with cancelled_by_signals(main) as interruption:
        try:
            await _until_cancelled(session, what, reporter)
        except asyncio.CancelledError:
            if not interruption.asked:
                raise
            main.uncancel()
        except BaseExceptionGroup as group:  # one of the tasks failed, and the others were cancelled
            raise group.exceptions[0] from None


async def _until_cancelled(session: LiveSession, what: Interactive, reporter: Reporter) -> None:
    def report(status: FaultStatus) -> None:
        reporter.fault_changed(session.clock.now(), status)

    async with asyncio.TaskGroup() as tasks:
        server = ControlServer(session, what.make_fault, report, tasks)
        async with server.listening(session.directory / CONTROL):
            if what.loads:
                tasks.create_task(session.driver(what.loads, seed=what.settings.seed, drain_s=0).run())
            tasks.create_task(_report_failures(session, reporter))
            reporter.ready(session.directory.name, await session.addresses())
            await asyncio.Event().wait()


async def _report_failures(session: LiveSession, reporter: Reporter) -> None:
    """Report every failure of a service once, until cancelled."""
    reported = 0
    while True:
        try:
            await asyncio.sleep(REPORT_EVERY_S)
        finally:
            for failure in session.failures[reported:]:
                reported += 1
                reporter.service_failed(failure)
