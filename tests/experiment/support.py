"""An experiment file to change, and what is wrong with a text."""

from __future__ import annotations

from harness.diagnostics import Diagnostic
from harness.errors import ExperimentError
from harness.experiment.model import Experiment
from harness.experiment.parse import parse_draft, parse_experiment, parse_slos_draft
from harness.faults.catalogue import FAULTS
from harness.gates.registry import gate_kinds
from harness.sli.kinds import SLO_KINDS

FILE = "a.chaos.yaml"

GOOD = """\
experiment: edge-loss
title: Losing one edge never interrupts playback
system: streaming
tags: [delivery]
load:
  viewers: {arrive: 4/s, for: 3m, mix: home}
timeline:
  - {at: 60s, for: 60s, fault: crash, target: {role: edge, zone: isp-a, pick: 1}}
  - at: 90s
    for: 20s
    fault: latency
    delay: 200ms
    target: {link: {from: edge, to: {role: storage}}}
  - {at: 100s, fault: reset, target: {role: edge}, name: cut}
gates:
  - slo: playback-success
  - {slo: startup-time, where: "isp = 'a'", at_most: 2s, during: fault}
  - {event: player.failover, within: 5s}
  - {recovered: startup-time, within: 30s}
arms:
  - {without: player.failover, slo: playback-success}
  - {without: [player.retry, player.abr], must: hold, slo: playback-success}
"""

SLOS = """\
playback-success:
  protects: films go on
  table: sessions
  good: ok
  target: 99.9%
startup-time:
  protects: films start
  table: sessions
  value: startup_s
  percentile: 95
  at_most: 2s
"""


def parse(text: str) -> Experiment:
    return parse_experiment(text, FILE, FAULTS, gate_kinds())


def mistakes(text: str) -> tuple[Diagnostic, ...]:
    """All that is wrong with an experiment in itself, in the order of the text."""
    try:
        return ExperimentError(parse_draft(text, FILE, FAULTS, gate_kinds()).problems).diagnostics
    except ExperimentError as error:
        return error.diagnostics


def slo_mistakes(text: str) -> tuple[Diagnostic, ...]:
    return ExperimentError(parse_slos_draft(text, "slos.yaml", SLO_KINDS).problems).diagnostics


def changed(text: str, old: str, new: str) -> str:
    """The text with one thing changed, which must be there once."""
    assert text.count(old) == 1, f"{old!r} is there {text.count(old)} times"
    return text.replace(old, new)
