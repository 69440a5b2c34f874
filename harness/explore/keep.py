"""Keeping a finding: its experiment file is written, run, and stays only if it fails as the search says."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import yaml

from harness.engine.read import SLOS_FILE, read_experiment
from harness.engine.suite import run
from harness.errors import InvalidInput
from harness.experiment.model import MAX_NAME
from harness.explore.finding import Finding, regression
from harness.gates.result import Verdict

SUFFIX = ".chaos.yaml"
NO_SLOS = "# The experiments here are about invariants.\n{}\n"


@dataclass(frozen=True, slots=True)
class Kept:
    """`file`: of the experiment; None where it was not kept, because of `problem`. `is_new`: it is a new file."""

    finding: Finding
    file: Path | None
    problem: str = ""
    is_new: bool = True


def keep(finding: Finding, directory: Path) -> Kept:
    """Write the experiment of a finding into the directory, unless it is there already.

    It is run as `harness run` would, and removed again where it passes: then the search and the run disagree, which is
    an error of the harness.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for number in count(1):
        name = finding.name if number == 1 else f"{finding.name[: MAX_NAME - 5]}-{number}"
        file = directory / f"{name}{SUFFIX}"
        if not file.exists():
            break
        if _shows(file, finding):
            return Kept(finding, file, is_new=False)
    file.write_text(regression(finding, name), encoding="utf-8")
    slos = directory / SLOS_FILE
    if not finding.shrunk.subject.gates and not slos.exists():
        # SLOs further up may be those of another system; this experiment needs none.
        slos.write_text(NO_SLOS, encoding="utf-8")
    try:
        ready = read_experiment(file)
        with tempfile.TemporaryDirectory() as reports:
            result = run(
                ready,
                without=sorted(finding.shrunk.subject.without),
                reports=reports,
            )
    except InvalidInput as error:
        file.unlink()
        return Kept(finding, None, f"its experiment is not valid: {error}")
    if result.verdict not in (Verdict.FAILED, Verdict.ERROR):
        file.unlink()
        reason = f"its experiment is {result.verdict.value} when it is run: {result.reason}"
        return Kept(finding, None, reason)
    return Kept(finding, file)


def _shows(file: Path, finding: Finding) -> bool:
    """Whether the experiment of a file has the same faults in the same places, in the same system."""
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
        entries = [(entry["fault"], entry["target"]) for entry in found.get("timeline", ())]
    except (yaml.YAMLError, AttributeError, KeyError, TypeError):
        return False
    shrunk = finding.shrunk
    own = [(fault.fault, fault.entry["target"]) for fault in shrunk.schedule]
    return found.get("system") == shrunk.subject.name and sorted(entries, key=str) == sorted(own, key=str)
