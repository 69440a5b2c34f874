"""Where runs are written: `<reports>/<UTC stamp>/<experiment>.seed<seed>/`, ablation arms in `arms/NAME/`."""

from __future__ import annotations

import os
import platform
import re
import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from harness.engine.plan import Plan, PlannedArm
from harness.engine.read import ReadyExperiment
from harness.engine.runtimes import DEFAULT
from harness.experiment.model import MAX_NAME
from harness.history.metadata import ArmPlace, Environment
from harness.runtime.options import RuntimeOptions
from harness.text import display_path, unique_names

ARMS = "arms"
LATEST = "latest"
_LIBRARIES = ("aiohttp", "pybreaker", "duckdb", "pydantic")


def suite_stamp() -> str:
    """The name of a suite that begins now."""
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")


def joined_suite_directory(reports: Path, name: str) -> Path:
    """The directory of a suite that several processes write into; the first one makes it."""
    directory = reports / name
    directory.mkdir(parents=True, exist_ok=True)
    _point(reports / LATEST, name)
    return directory


def new_suite_directory(reports: Path) -> Path:
    """Make a new directory for a suite, and point `latest` at it."""
    stamp = suite_stamp()
    reports.mkdir(parents=True, exist_ok=True)
    for n in range(1, 1000):
        directory = reports / (stamp if n == 1 else f"{stamp}-{n}")
        try:
            directory.mkdir()
        except FileExistsError:
            continue
        _point(reports / LATEST, directory.name)
        return directory
    raise FileExistsError(f"{reports / stamp} and 999 more like it exist")


def _point(link: Path, target: str) -> None:
    """Replace the link in one step. On file systems without links there is none."""
    temporary = link.with_name(f".{link.name}.{os.getpid()}")
    try:
        temporary.symlink_to(target)
        os.replace(temporary, link)
    except OSError:
        temporary.unlink(missing_ok=True)


def run_directory(suite: Path, name: str, seed: int) -> Path:
    return suite / f"{name}.seed{seed}"


def staging_directory(run: Path) -> Path:
    """Where the arms are written until the run is complete: each in a directory of its number."""
    return run.with_name(f".{run.name}.partial")


def arm_directories(arms: Sequence[str]) -> tuple[str, ...]:
    """For each ablation arm its directory in the run directory: its name in characters of any file system."""
    slugs = [re.sub(r"[^A-Za-z0-9._-]+", "-", arm)[:MAX_NAME].strip("-.") or "arm" for arm in arms]
    return tuple(f"{ARMS}/{name}" for name in unique_names(slugs))


def replay_command(run: Path, plan: Plan, runtime: RuntimeOptions) -> str:
    """The command that repeats the run: exactly where the runtime is deterministic."""
    if runtime.deterministic:
        return f"harness replay {display_path(run)}"
    return run_command(plan, runtime)


def run_command(plan: Plan, runtime: RuntimeOptions) -> str:
    """The command that runs the experiment again."""
    options = [] if runtime.name == DEFAULT.name else ["--runtime", runtime.name]
    options += runtime.arguments()
    without = [f"--without {name}" for name in plan.without]
    values = {
        name: str(value).lower() if isinstance(value, bool) else value
        for name, value in plan.variables.items()
    }
    variables = [f"--var {shlex.quote(f'{name}={value}')}" for name, value in values.items()]
    return " ".join(["harness run", plan.file, *options, f"--seed {plan.seed}", *without, *variables])


def environment(
    experiment: ReadyExperiment, plan: Plan, arm: PlannedArm, run: Path, runtime: RuntimeOptions
) -> Environment:
    """What a run was made from, to judge it again and to replay it."""
    names = [other.name for other in plan.arms[1:]]
    return Environment(
        experiment=plan.name,
        file=experiment.display_path,
        slos_file=None if experiment.slos_file is None else display_path(experiment.slos_file),
        system=experiment.experiment.system,
        runtime=runtime.name,
        arguments=runtime.arguments(),
        seed=plan.seed,
        without=plan.without,
        arm=arm.name,
        arms=tuple(
            ArmPlace(name=name, directory=directory)
            for name, directory in zip(names, arm_directories(names), strict=True)
        ),
        targets={fault.name: fault.target.names for fault in plan.faults},
        run=display_path(run),
        replay=replay_command(run, plan, runtime),
        versions={
            "python": platform.python_version(),
            **{
                name: found
                for name in ("streaming-resilience-harness", *_LIBRARIES)
                if (found := _version(name))
            },
        },
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
