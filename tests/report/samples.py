"""Hand-made results: one of each kind, with plausible figures."""

from __future__ import annotations

from dataclasses import replace

from harness.faults.exposure import Exposure
from harness.gates.result import GateResult, Verdict
from harness.verdict.model import ArmResult, ExperimentResult, FaultResult

FILE = "experiments/delivery/edge-appliance-loss.chaos.yaml"

SUCCESS = GateResult(
    name="playback-success",
    verdict=Verdict.PASSED,
    value=0.9995,
    interval=(0.9991, 0.9998),
    threshold=0.999,
    samples=12041,
    unit="ratio",
    reason="99.95% [99.91%, 99.98%] is above 99.9%",
    slo="playback-success",
    line=14,
)
STARTUP = GateResult(
    name="startup-time where network_class in ('fibre', 'dsl', '4g')",
    verdict=Verdict.PASSED,
    value=1.42,
    interval=(1.31, 1.55),
    threshold=2.0,
    samples=640,
    unit="s",
    reason="p95 1.42 s [1.31 s, 1.55 s] is below 2 s",
    slo="startup-time",
    line=15,
)
FAILOVER = GateResult(
    name="player.failover within 5 s of fault",
    verdict=Verdict.PASSED,
    value=1.2,
    interval=None,
    threshold=5.0,
    samples=38,
    unit="s",
    reason="seen 1.2 s after the fault",
    kind="event",
    line=16,
)
CRASH = FaultResult(
    name="crash-1",
    fault="crash",
    targets=("edge-a-1",),
    applied_at_s=60.0,
    undone_at_s=120.0,
    exposure=Exposure(connections=41, connects_blocked=12, resets=41, bytes=3_200_000),
    verdict=Verdict.PASSED,
    reason="touched 41 connections",
)
BREACH = replace(
    SUCCESS,
    verdict=Verdict.FAILED,
    value=0.9132,
    interval=(0.9012, 0.9241),
    reason="91.32% [90.12%, 92.41%] is below 99.9%",
)
ARM = ArmResult(
    name="without player.failover",
    without=("player.failover",),
    must="breach",
    verdict=Verdict.PASSED,
    gates=(BREACH,),
    faults=(CRASH,),
    history_sha256="b" * 64,
    reason="without player.failover, playback-success is breached (expected)",
)
PASSED = ExperimentResult(
    name="edge-appliance-loss",
    title="Losing one edge appliance never interrupts playback",
    file=FILE,
    verdict=Verdict.PASSED,
    reason="3 of 3 gates hold; 1 of 1 arms behaved as expected",
    seed=7,
    run="reports/edge-appliance-loss-7",
    history_sha256="a" * 64,
    replay="harness replay reports/edge-appliance-loss-7",
    gates=(SUCCESS, STARTUP, FAILOVER),
    faults=(CRASH,),
    arms=(ARM,),
    steady_state=(replace(SUCCESS, samples=2100),),
)
FAILED = replace(
    PASSED,
    verdict=Verdict.FAILED,
    reason="playback-success is breached",
    gates=(BREACH, STARTUP, FAILOVER),
    arms=(),
    without=("player.failover",),
    replay=(
        "harness run experiments/delivery/edge-appliance-loss.chaos.yaml --seed 7 --without player.failover"
    ),
)
INCONCLUSIVE = replace(
    PASSED,
    name="isp-cluster-loss",
    title="A whole ISP cluster lost",
    file="experiments/delivery/isp-cluster-loss.chaos.yaml",
    verdict=Verdict.INCONCLUSIVE,
    reason="too few samples for playback-success",
    gates=(
        replace(
            SUCCESS,
            verdict=Verdict.INCONCLUSIVE,
            value=1.0,
            interval=(0.9926, 1.0),
            samples=404,
            needs=2591,
            reason="404 samples cannot show 99.9% with 95% confidence",
        ),
    ),
    faults=(
        replace(
            CRASH,
            name="link-cut",
            fault="partition",
            targets=("isp-a", "isp-b", "isp-c", "ix"),
            undone_at_s=None,
            exposure=Exposure(),
            verdict=Verdict.INCONCLUSIVE,
            reason="the fault touched no traffic",
        ),
    ),
    arms=(),
    run="reports/isp-cluster-loss-7",
    replay="harness replay reports/isp-cluster-loss-7",
)
ERROR = replace(
    PASSED,
    name="identity-down",
    title="Identity down",
    file="experiments/control/identity-down.chaos.yaml",
    verdict=Verdict.ERROR,
    reason="service 'identity-1' ended at 12.4 s: KeyError('key')",
    gates=(),
    faults=(),
    arms=(),
    steady_state=(),
    run="reports/identity-down-7",
    replay="harness replay reports/identity-down-7",
)
