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
    from harness.diagnostics import Code, Diagnostic, unknown_name
    from harness.engine.events import (
        EngineEvent,
        FaultChanged,
        Handler,
        Progress,
        RunFinished,
        RunJudged,
        RunStarted,
        SuiteFinished,
        SuiteStarted,
    )
    from harness.engine.judge import judge_directory, judge_pool
    from harness.engine.read import ReadyExperiment, read_experiment, read_experiments
    from harness.engine.suite import Pooling, run, run_suite
    from harness.errors import ExperimentError, HarnessError, InvalidInput, InvalidValue, UsageError
    from harness.experiment.load import Load, LoadSegment, LoadStage
    from harness.experiment.model import Experiment
    from harness.experiment.units import (
        Bitrate,
        ByteCount,
        Duration,
        PositiveDuration,
        PositiveRate,
        Rate,
        Ratio,
    )
    from harness.faults.base import Fault, LinkFault, NodeFault
    from harness.faults.exposure import Effects, Exposure
    from harness.faults.primitives import (
        Applied,
        Capability,
        ClientMatch,
        ClockRule,
        DiskRule,
        EndpointMatch,
        FaultFailed,
        HttpRule,
        LinkShape,
        NameRule,
        PathMatch,
        Primitives,
        ResolvedTarget,
        apply_all,
    )
    from harness.gates.base import CheckContext, Gate, JudgeContext, Objective, PooledRun
    from harness.gates.registry import gate_kind
    from harness.gates.result import EXIT_CODES, GateResult, Verdict, no_samples, not_computable, worst
    from harness.history.metadata import Environment, FaultRecord, HistoryError, RunMetadata
    from harness.history.read import History
    from harness.live.options import LiveOptions, LoadSettings
    from harness.report.reporter import Reporter, reporter
    from harness.runtime.contract import NotReady, Recorded, ServiceFailure, Session
    from harness.runtime.host import HostError
    from harness.runtime.options import RuntimeOptions
    from harness.sim.options import SimOptions
    from harness.sli.base import Slo
    from harness.sli.checks import check_table_expression
    from harness.sli.threshold import Threshold
    from harness.stand_ins.redis import redis_stand_in
    from harness.system.host import Clock, Disk, Event, Host, Row, Scalar
    from harness.system.model import (
        Access,
        Chart,
        Client,
        Invariant,
        MatchInvariant,
        MatchRows,
        ParityMetric,
        Safeguard,
        StateChart,
        System,
        Workload,
    )
    from harness.system.pacing import constant_pacing
    from harness.system.processor import Cost, ProcessorSlice
    from harness.system.registry import InvalidSystem, find_system, system_names
    from harness.system.topology import Link, Node, Service, Topology
    from harness.testing import InForce, ServiceDefect, World, simulate
    from harness.toxiproxy.chunk import Chunk
    from harness.toxiproxy.server import ToxiproxyServer
    from harness.toxiproxy.toxics.base import YEAR_MS, Behaviour, attribute, text_attribute
    from harness.toxiproxy.toxics.stage import Stage
    from harness.verdict.model import ArmResult, ExperimentResult, FaultResult, PooledResult
    from harness.verdict.recorded import RecordedArm, RecordedRun

_MODULES = {
    "diagnostics": (
        "Code",
        "Diagnostic",
        "unknown_name",
    ),
    "engine.events": (
        "EngineEvent",
        "FaultChanged",
        "Handler",
        "Progress",
        "RunFinished",
        "RunJudged",
        "RunStarted",
        "SuiteFinished",
        "SuiteStarted",
    ),
    "engine.judge": (
        "judge_directory",
        "judge_pool",
    ),
    "engine.read": (
        "ReadyExperiment",
        "read_experiment",
        "read_experiments",
    ),
    "engine.suite": (
        "Pooling",
        "run",
        "run_suite",
    ),
    "errors": (
        "ExperimentError",
        "HarnessError",
        "InvalidInput",
        "InvalidValue",
        "UsageError",
    ),
    "experiment.load": (
        "Load",
        "LoadSegment",
        "LoadStage",
    ),
    "experiment.model": ("Experiment",),
    "experiment.units": (
        "Bitrate",
        "ByteCount",
        "Duration",
        "PositiveDuration",
        "PositiveRate",
        "Rate",
        "Ratio",
    ),
    "faults.base": (
        "Fault",
        "LinkFault",
        "NodeFault",
    ),
    "faults.exposure": ("Effects", "Exposure"),
    "faults.primitives": (
        "Applied",
        "Capability",
        "ClientMatch",
        "EndpointMatch",
        "FaultFailed",
        "ClockRule",
        "DiskRule",
        "HttpRule",
        "NameRule",
        "LinkShape",
        "PathMatch",
        "Primitives",
        "ResolvedTarget",
        "apply_all",
    ),
    "gates.base": (
        "CheckContext",
        "Gate",
        "JudgeContext",
        "Objective",
        "PooledRun",
    ),
    "gates.registry": ("gate_kind",),
    "gates.result": (
        "EXIT_CODES",
        "GateResult",
        "Verdict",
        "no_samples",
        "not_computable",
        "worst",
    ),
    "history.metadata": (
        "Environment",
        "FaultRecord",
        "HistoryError",
        "RunMetadata",
    ),
    "history.read": ("History",),
    "live.options": (
        "LiveOptions",
        "LoadSettings",
    ),
    "report.reporter": (
        "Reporter",
        "reporter",
    ),
    "runtime.contract": (
        "NotReady",
        "Recorded",
        "ServiceFailure",
        "Session",
    ),
    "runtime.host": ("HostError",),
    "runtime.options": ("RuntimeOptions",),
    "sim.options": ("SimOptions",),
    "sli.base": ("Slo",),
    "sli.checks": ("check_table_expression",),
    "sli.threshold": ("Threshold",),
    "stand_ins.redis": ("redis_stand_in",),
    "system.host": (
        "Clock",
        "Disk",
        "Event",
        "Host",
        "Row",
        "Scalar",
    ),
    "system.model": (
        "Access",
        "Chart",
        "Client",
        "Invariant",
        "MatchInvariant",
        "MatchRows",
        "ParityMetric",
        "Safeguard",
        "StateChart",
        "System",
        "Workload",
    ),
    "system.pacing": ("constant_pacing",),
    "testing": ("InForce", "ServiceDefect", "World", "simulate"),
    "system.processor": (
        "Cost",
        "ProcessorSlice",
    ),
    "system.registry": (
        "InvalidSystem",
        "find_system",
        "system_names",
    ),
    "system.topology": (
        "Link",
        "Node",
        "Service",
        "Topology",
    ),
    "toxiproxy.chunk": ("Chunk",),
    "toxiproxy.server": ("ToxiproxyServer",),
    "toxiproxy.toxics.base": (
        "YEAR_MS",
        "Behaviour",
        "attribute",
        "text_attribute",
    ),
    "toxiproxy.toxics.stage": ("Stage",),
    "verdict.model": (
        "ArmResult",
        "ExperimentResult",
        "FaultResult",
        "PooledResult",
    ),
    "verdict.recorded": (
        "RecordedArm",
        "RecordedRun",
    ),
}
"""Where each public name is defined; the imports above say the same to type checkers."""

_MODULE_OF = {name: f"harness.{module}" for module, names in _MODULES.items() for name in names}

__all__ = [
    "EXIT_CODES",
    "YEAR_MS",
    "Access",
    "Applied",
    "ArmResult",
    "Behaviour",
    "Bitrate",
    "ByteCount",
    "Capability",
    "Chart",
    "CheckContext",
    "Chunk",
    "Client",
    "ClientMatch",
    "Clock",
    "ClockRule",
    "Code",
    "Cost",
    "Diagnostic",
    "Disk",
    "DiskRule",
    "Duration",
    "Effects",
    "EndpointMatch",
    "EngineEvent",
    "Environment",
    "Event",
    "Experiment",
    "ExperimentError",
    "ExperimentResult",
    "Exposure",
    "Fault",
    "FaultChanged",
    "FaultFailed",
    "FaultRecord",
    "FaultResult",
    "Gate",
    "GateResult",
    "Handler",
    "HarnessError",
    "History",
    "HistoryError",
    "Host",
    "HostError",
    "HttpRule",
    "InForce",
    "InvalidInput",
    "InvalidSystem",
    "InvalidValue",
    "Invariant",
    "JudgeContext",
    "Link",
    "LinkFault",
    "LinkShape",
    "LiveOptions",
    "Load",
    "LoadSegment",
    "LoadSettings",
    "LoadStage",
    "MatchInvariant",
    "MatchRows",
    "NameRule",
    "Node",
    "NodeFault",
    "NotReady",
    "Objective",
    "ParityMetric",
    "PathMatch",
    "PooledResult",
    "PooledRun",
    "Pooling",
    "PositiveDuration",
    "PositiveRate",
    "Primitives",
    "ProcessorSlice",
    "Progress",
    "Rate",
    "Ratio",
    "ReadyExperiment",
    "Recorded",
    "RecordedArm",
    "RecordedRun",
    "Reporter",
    "ResolvedTarget",
    "Row",
    "RunFinished",
    "RunJudged",
    "RunMetadata",
    "RunStarted",
    "RuntimeOptions",
    "Safeguard",
    "Scalar",
    "Service",
    "ServiceDefect",
    "ServiceFailure",
    "Session",
    "SimOptions",
    "Slo",
    "Stage",
    "StateChart",
    "SuiteFinished",
    "SuiteStarted",
    "System",
    "Threshold",
    "Topology",
    "ToxiproxyServer",
    "UsageError",
    "Verdict",
    "Workload",
    "World",
    "__version__",
    "apply_all",
    "attribute",
    "check_table_expression",
    "constant_pacing",
    "find_system",
    "gate_kind",
    "judge_directory",
    "judge_pool",
    "no_samples",
    "not_computable",
    "read_experiment",
    "read_experiments",
    "redis_stand_in",
    "reporter",
    "run",
    "run_suite",
    "simulate",
    "system_names",
    "text_attribute",
    "unknown_name",
    "worst",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'harness' has no attribute '{name}'")
    value = getattr(import_module(_MODULE_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
