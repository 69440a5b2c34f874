"""action.yml and the GitLab job of docs/ci.md parse, and their harness commands run in a temporary repository."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.support import write_suite
from tests.docs.pages import ROOT

ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
PAGE = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
QUICK = """\
experiment: quick
title: Visits are answered
system: tests.support.toy_system:system
load:
  shoppers: {arrive: 8/s, for: 8s, mix: fast}
gates:
  - slo: quick
drain: 20s
"""


def shell(script: str, directory: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-eo", "pipefail", "-c", script],
        cwd=directory,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def run_action(directory: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The step that runs harness, with the defaults of the inputs."""
    inputs = {name: str(one["default"]) for name, one in ACTION["inputs"].items()}
    (step,) = [step for step in ACTION["runs"]["steps"] if step.get("name") == "Run"]
    given = {
        name: re.sub(r"\$\{\{ inputs\.([a-z-]+) \}\}", lambda found: inputs[found[1]], value)
        for name, value in step["env"].items()
    }
    assert "${{" not in step["run"] + "".join(given.values())
    return shell(step["run"], directory, **given | {"GITHUB_ACTIONS": "true"} | environment)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory below the root of a repository, with an experiment; the action has recorded a baseline in it."""
    root = tmp_path_factory.mktemp("repository")
    (root / ".git").mkdir()
    work = root / "shop"
    work.mkdir()
    write_suite(work, quick=QUICK)
    ended = run_action(work, GITHUB_STEP_SUMMARY=str(work / "summary.md"), REPORTS="baseline")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return work


def test_the_action_reports_and_gates(repository: Path, tmp_path: Path) -> None:
    assert "quick" in (repository / "summary.md").read_text(encoding="utf-8")
    # Another experiment than the baseline's: never green, and annotated from the root.
    other = write_suite(repository / "changed", other=QUICK.replace("experiment: quick", "experiment: other"))
    paths = {"EXPERIMENTS": str(other), "BASELINE": "baseline", "REPORTS": str(tmp_path)}
    lost = run_action(repository, GITHUB_STEP_SUMMARY=str(tmp_path / "summary.md"), **paths)
    assert lost.returncode == 2, lost.stdout + lost.stderr
    assert "::warning file=shop/changed/experiments/other.chaos.yaml" in lost.stdout


def test_the_steps_of_the_action_are_complete() -> None:
    assert ACTION["runs"]["using"] == "composite"
    for step in ACTION["runs"]["steps"]:
        assert ("uses" in step) != ("run" in step)
        assert "run" not in step or step["shell"] == "bash"
        assert "${{" not in step.get("run", "")
    assert {name for name in ACTION["inputs"] if f"`{name}`" not in PAGE} == set()


def test_the_gitlab_job_runs(repository: Path) -> None:
    blocks = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]
    (job,) = [block["resilience"] for block in blocks if "resilience" in block]
    commands = [line for line in job["script"] if line.startswith("harness ")]
    ended = shell("\n".join(commands), repository)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "compared with the baseline: 1 alike" in ended.stdout
    assert [*repository.glob(job["artifacts"]["reports"]["junit"])]
