"""A suite that is over: its results from their run directories, and the facts that its index states."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from harness.history.files import VERDICT
from harness.history.metadata import read_environment
from harness.sli.formatting import duration
from harness.verdict.document import results_of
from harness.verdict.model import ExperimentResult


def recorded_results(suite: Path) -> tuple[ExperimentResult, ...]:
    """The results of the runs in a suite's directory, from their verdict.json, by name."""
    found: list[ExperimentResult] = []
    # A hidden directory is of a run that has not finished.
    for file in sorted(suite.glob(f"[!.]*/{VERDICT}")):
        document = json.loads(file.read_text(encoding="utf-8"))
        found += results_of(document)
    return tuple(found)


def suite_facts(results: Sequence[ExperimentResult], elapsed_s: float) -> list[tuple[str, str]]:
    """When the suite ended, how long it took, the command, the versions and the commit; as label and text."""
    about = [("ended", datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"))]
    if elapsed_s:
        about.append(("took", duration(elapsed_s)))
    program = Path(sys.argv[0]).name if sys.argv and sys.argv[0] else "harness"
    about.append(("command", shlex.join(["harness" if program == "__main__.py" else program, *sys.argv[1:]])))
    if versions := next(filter(None, map(_versions, results)), None):
        about.append(("versions", ", ".join(f"{name} {version}" for name, version in versions.items())))
    if commit := _commit():
        about.append(("commit", commit))
    return about


def _versions(result: ExperimentResult) -> Mapping[str, str]:
    """The versions that the run recorded; empty where it has no run directory."""
    try:
        return read_environment(Path(result.run)).versions
    except (OSError, ValueError):
        return {}


def _commit() -> str | None:
    """The commit of the working directory; None outside of a git repository."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
