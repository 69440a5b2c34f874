"""Chaos experiments for streaming systems: the public API. Users import from here and from nowhere else.

    from harness import read_experiment, run

    result = run(read_experiment("experiments/first.chaos.yaml"), seed=7)
    print(result.verdict, [(gate.name, gate.value) for gate in result.gates])

Names are imported when they are first used: `import harness` itself loads nothing else.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from harness.version import __version__

if TYPE_CHECKING:
    from harness.diagnostics import Code, Diagnostic
    from harness.engine.events import EngineEvent
    from harness.engine.judge import judge_directory
    from harness.engine.read import ReadyExperiment, read_experiment
    from harness.engine.suite import run, run_suite
    from harness.errors import ExperimentError, HarnessError, InvalidValue, UsageError
    from harness.experiment.model import Load
    from harness.faults.applied import apply_all
    from harness.faults.base import Fault, LinkFault, NodeFault
    from harness.faults.capability import Capability
    from harness.faults.primitives import (
        Applied,
        ClientMatch,
        EndpointMatch,
        Exposure,
        FaultFailed,
        HttpRule,
        LinkShape,
        PathMatch,
        Primitives,
    )
    from harness.faults.target import ResolvedTarget
    from harness.gates.base import CheckContext, Gate, JudgeContext
    from harness.gates.registry import gate_kind
    from harness.gates.result import GateResult, Verdict
    from harness.history.errors import HistoryError
    from harness.history.read import History
    from harness.live.options import LiveOptions, LoadSettings
    from harness.report.reporter import Reporter, reporter
    from harness.runtime.contract import Recorded, Session
    from harness.sim.options import SimOptions
    from harness.sim.simulate import simulate
    from harness.system.chart import Chart, StateChart
    from harness.system.host import Clock, Disk, Host
    from harness.system.model import Access, Client, Invariant, ParityMetric, Safeguard, System, Workload
    from harness.system.records import Event
    from harness.system.registry import find_system
    from harness.system.topology import Link, Node, Topology
    from harness.toxiproxy.server import ToxiproxyServer
    from harness.verdict.model import ArmResult, ExperimentResult, FaultResult
    from harness.verdict.recorded import RecordedRun

_MODULES = {
    "diagnostics": ("Code", "Diagnostic"),
    "engine.events": ("EngineEvent",),
    "engine.judge": ("judge_directory",),
    "engine.read": ("ReadyExperiment", "read_experiment"),
    "engine.suite": ("run", "run_suite"),
    "errors": ("ExperimentError", "HarnessError", "InvalidValue", "UsageError"),
    "experiment.model": ("Load",),
    "faults.applied": ("apply_all",),
    "faults.base": ("Fault", "LinkFault", "NodeFault"),
    "faults.capability": ("Capability",),
    "faults.primitives": (
        "Applied",
        "ClientMatch",
        "EndpointMatch",
        "Exposure",
        "FaultFailed",
        "HttpRule",
        "LinkShape",
        "PathMatch",
        "Primitives",
    ),
    "faults.target": ("ResolvedTarget",),
    "gates.base": ("CheckContext", "Gate", "JudgeContext"),
    "gates.registry": ("gate_kind",),
    "gates.result": ("GateResult", "Verdict"),
    "history.errors": ("HistoryError",),
    "history.read": ("History",),
    "live.options": ("LiveOptions", "LoadSettings"),
    "report.reporter": ("Reporter", "reporter"),
    "runtime.contract": ("Recorded", "Session"),
    "sim.options": ("SimOptions",),
    "sim.simulate": ("simulate",),
    "system.chart": ("Chart", "StateChart"),
    "system.host": ("Clock", "Disk", "Host"),
    "system.model": ("Access", "Client", "Invariant", "ParityMetric", "Safeguard", "System", "Workload"),
    "system.records": ("Event",),
    "system.registry": ("find_system",),
    "system.topology": ("Link", "Node", "Topology"),
    "toxiproxy.server": ("ToxiproxyServer",),
    "verdict.model": ("ArmResult", "ExperimentResult", "FaultResult"),
    "verdict.recorded": ("RecordedRun",),
}
"""Where each public name is defined; the imports above say the same to type checkers."""

_MODULE_OF = {name: f"harness.{module}" for module, names in _MODULES.items() for name in names}

__all__ = [
    "Access",
    "Applied",
    "ArmResult",
    "Capability",
    "Chart",
    "CheckContext",
    "Client",
    "ClientMatch",
    "Clock",
    "Code",
    "Diagnostic",
    "Disk",
    "EndpointMatch",
    "EngineEvent",
    "Event",
    "ExperimentError",
    "ExperimentResult",
    "Exposure",
    "Fault",
    "FaultFailed",
    "FaultResult",
    "Gate",
    "GateResult",
    "HarnessError",
    "History",
    "HistoryError",
    "Host",
    "HttpRule",
    "InvalidValue",
    "Invariant",
    "JudgeContext",
    "Link",
    "LinkFault",
    "LinkShape",
    "LiveOptions",
    "Load",
    "LoadSettings",
    "Node",
    "NodeFault",
    "ParityMetric",
    "PathMatch",
    "Primitives",
    "ReadyExperiment",
    "Recorded",
    "RecordedRun",
    "Reporter",
    "ResolvedTarget",
    "Safeguard",
    "Session",
    "SimOptions",
    "StateChart",
    "System",
    "Topology",
    "ToxiproxyServer",
    "UsageError",
    "Verdict",
    "Workload",
    "__version__",
    "apply_all",
    "find_system",
    "gate_kind",
    "judge_directory",
    "read_experiment",
    "reporter",
    "run",
    "run_suite",
    "simulate",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'harness' has no attribute '{name}'")
    value = getattr(import_module(_MODULE_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
