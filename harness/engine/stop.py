"""Stopping a run early: a condition of `abort_if` is breached, or the system is ill before the first fault.

What was recorded so far is judged as a whole run is: it is written to a temporary directory and read with SQL.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.engine.plan import Plan, PlannedArm
from harness.gates.base import Gate
from harness.gates.judge import judge_gates
from harness.gates.result import GateResult, Verdict
from harness.history.metadata import Environment, FaultRecord, RunMetadata, StopRecord
from harness.history.read import History
from harness.history.write import write_history
from harness.runtime.contract import Recorded
from harness.system import System

CHECK_INTERVAL_S = 5.0
"""Run seconds between two looks at the conditions."""

ILL_MARGIN_S = 1.0
"""How long before the first fault the steady state is judged."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An arm as it is recorded so far, `now_s` seconds into it."""

    system: System
    plan: Plan
    arm: PlannedArm
    records: Sequence[Recorded]
    faults: tuple[FaultRecord, ...]
    now_s: float


type Look = Callable[[Snapshot], StopRecord | None]
"""Returns a reason to stop the run, if there is one."""


def breached_condition(snapshot: Snapshot) -> StopRecord | None:
    """The first condition of `abort_if` that is breached by what is recorded so far."""
    found = _breached(snapshot, snapshot.plan.experiment.abort_if)
    return None if found is None else StopRecord(snapshot.now_s, "abort", f"{found.name}: {found.reason}")


def refuted_steady_state(snapshot: Snapshot) -> StopRecord | None:
    """The first gate whose steady state is refuted before any fault."""
    gates: tuple[Gate, ...] = snapshot.plan.experiment.gates
    before = dict.fromkeys(gate for one in gates if (gate := one.steady_state()) is not None)
    found = _breached(snapshot, tuple(before))
    return None if found is None else StopRecord(snapshot.now_s, "ill", f"{found.name}: {found.reason}")


def _breached(snapshot: Snapshot, gates: tuple[Gate, ...]) -> GateResult | None:
    plan, arm = snapshot.plan, snapshot.arm
    # A fault in force lasts until now: what is recorded is in its time.
    faults = tuple(
        replace(fault, undone_at_s=snapshot.now_s)
        if fault.applied_at_s is not None and fault.undone_at_s is None
        else fault
        for fault in snapshot.faults
    )
    with tempfile.TemporaryDirectory(prefix="harness-look-") as parent:
        directory = Path(parent) / "run"
        write_history(
            directory,
            system=snapshot.system,
            records=snapshot.records,
            metadata=RunMetadata(arm.name, tuple(sorted(arm.without)), faults, (), ()),
            experiment_yaml="",
            slos_yaml="",
            environment=Environment(
                experiment=plan.name,
                file=plan.file,
                slos_file=None,
                system=plan.experiment.system,
                runtime="",
                seed=plan.seed,
                without=plan.without,
                arm=arm.name,
                arms=(),
                targets={},
                run="",
                replay="",
                versions={},
            ),
        )
        with History(directory) as history:
            results = judge_gates(gates, history, plan.slos)
    # A condition that cannot be computed stops nothing; the verdict reports it.
    return next((result for result in results if result.verdict is Verdict.FAILED), None)
