"""A small suite over the toy system, as files, and how to call the command line in this process."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.cli.main import invoke

SLOS = """\
answered:
  protects: a visit is answered, with offers or without
  table: visits
  good: ok
  target: 95%
quick:
  protects: a visit is answered quickly
  table: visits
  value: latency_s
  percentile: 95
  at_most: 2s
"""

BACKEND_LOST = """\
experiment: backend-lost
title: Losing one backend never leaves a visit unanswered
system: tests.support.toy_system:system
tags: [shop]
load:
  shoppers: {arrive: 6/s, for: 12s, mix: all}
timeline:
  - {at: 5s, for: 5s, fault: crash, target: {role: backend, pick: 1}}
gates:
  - slo: answered
  - slo: quick
  - {event: gateway.retry, within: 3s, of: fault}
arms:
  - {without: [gateway.retry, gateway.fallback], must: breach, slo: answered}
drain: 20s
"""

UNTOUCHED = """\
experiment: untouched
title: The backends do not talk to each other, so nothing is late
system: tests.support.toy_system:system
load:
  shoppers: {arrive: 6/s, for: 12s, mix: fast}
timeline:
  - {at: 5s, for: 3s, fault: latency, delay: 1s, target: {link: {from: {node: backend-east}, to: {node: backend-west}}}}
gates:
  - {slo: answered, target: 50%}
drain: 20s
"""

BROKEN = """\
experiment: broken
title: Three mistakes
system: tests.support.toy_system:system
load:
  shoppers: {arrive: 4, for: 20s, mix: al}
gates:
  - slo: anwsered
"""

LIVE_LOSS = UNTOUCHED.replace("experiment: untouched", "experiment: live-loss\nruntime: live").replace(
    "fault: latency, delay: 1s", "fault: loss, rate: 5%"
)
"""What live runs cannot do with proxies."""

LIVE_ONLY = BACKEND_LOST.replace("experiment: backend-lost", "experiment: only-live\nruntime: live")


def write_suite(directory: Path, **experiments: str) -> Path:
    """`experiments/` with slos.yaml and NAME.chaos.yaml for each keyword (underscores become dashes)."""
    suite = directory / "experiments"
    suite.mkdir(parents=True, exist_ok=True)
    (suite / "slos.yaml").write_text(SLOS, encoding="utf-8")
    for name, text in experiments.items():
        (suite / f"{name.replace('_', '-')}.chaos.yaml").write_text(text, encoding="utf-8")
    return suite


@dataclass(frozen=True)
class Called:
    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The one document on stdout; fails when there is anything else."""
        found: dict[str, Any] = json.loads(self.out)
        return found


def call(*arguments: object) -> Called:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = invoke([str(argument) for argument in arguments])
    return Called(code, out.getvalue(), err.getvalue())
