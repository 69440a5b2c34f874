"""What a search has found, and the experiment file that shows it for ever."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from harness.experiment.load import Load
from harness.experiment.model import MAX_NAME
from harness.experiment.order import FIFO
from harness.explore.schedule import Schedule
from harness.explore.shrink import Shrunk
from harness.explore.trial import Violation


@dataclass(frozen=True, slots=True)
class Finding:
    """`seed`: of the run that shows it. `first`: the schedule that was found, before it was shrunk.

    `trial`: the number of the trial that found it. `found`: in how many trials it was seen.
    """

    seed: int
    trial: int
    first: Schedule
    shrunk: Shrunk
    found: int = 1

    @property
    def violation(self) -> Violation:
        return self.shrunk.violation

    @property
    def name(self) -> str:
        """Of its experiment: what is violated, and the kinds of fault that do it."""
        faults = "-and-".join(dict.fromkeys(fault.fault for fault in self.shrunk.schedule)) or "no-fault"
        words = re.sub(r"[^a-z0-9]+", "-", f"{self.violation.key[:50]}-{faults}".lower()).strip("-")
        return words[:MAX_NAME].strip("-")

    @property
    def key(self) -> tuple[str, str, tuple[tuple[str, str], ...]]:
        """The same for the same defect: the property and the minimal set of faults, whatever their times."""
        faults = sorted((fault.fault, str(fault.place)) for fault in self.shrunk.schedule)
        return (self.violation.kind, self.violation.key, tuple(faults))


def necessity(finding: Finding) -> list[tuple[str, str]]:
    """Each fault that remains, and what happens without it."""
    words = {True: "it holds without it", False: "violated without it, too", None: "not tried"}
    return [
        (fault.describe(), words[needed])
        for fault, needed in zip(finding.shrunk.schedule, finding.shrunk.needed, strict=True)
    ]


def regression(finding: Finding, name: str | None = None) -> str:
    """The experiment file: it fails until the cause is mended. `name`: where its own is taken."""
    shrunk = finding.shrunk
    violation, subject = shrunk.violation, shrunk.subject
    document: dict[str, Any] = {
        "experiment": name or finding.name,
        "title": f"{_sentence(violation)} (found by harness fuzz)",
        "description": f"{violation.reason}. Found in trial {finding.trial}, shrunk in {shrunk.runs} runs.",
        "system": subject.name,
        "tags": ["regression"],
        "seed": finding.seed,
        **({} if subject.order == FIFO else {"order": subject.order}),
        "load": {name: _load_entry(load) for name, load in subject.load.items()},
        "timeline": [fault.entry for fault in shrunk.schedule],
    }
    if subject.gates:
        document["gates"] = [_gate_entry(gate) for gate in subject.gates]
    document["drain"] = f"{subject.drain_s:g}s"
    if not document["timeline"]:
        del document["timeline"]
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None)


def _sentence(violation: Violation) -> str:
    if violation.kind == "unhandled error":
        return f"No unhandled error: {violation.key[:60]}"
    return f"{violation.key} is never violated" if violation.kind == "invariant" else f"{violation.key} holds"


def _load_entry(load: Load) -> Mapping[str, Any]:
    entry: dict[str, Any] = {} if load.workload is None else {"workload": load.workload}
    if isinstance(load.arrive, float):
        entry |= {"arrive": f"{load.arrive:g}/s", "for": f"{load.for_:g}s"}
    else:
        entry["arrive"] = [
            {key: f"{value:g}/s" for key, value in (("at", stage.at), ("to", stage.to)) if value is not None}
            | {"for": f"{stage.for_:g}s"}
            for stage in load.arrive
        ]
    return entry | {"mix": load.mix}


def _gate_entry(gate: Any) -> Mapping[str, Any]:
    entry: dict[str, Any] = gate.model_dump(by_alias=True, exclude_defaults=True)
    return {gate.key: entry.pop(gate.key), **entry}


def command(finding: Finding, file: str) -> str:
    without = "".join(f" --without {name}" for name in sorted(finding.shrunk.subject.without))
    return f"harness run {file}{without}"
