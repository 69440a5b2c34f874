"""pytest plugin: `*.chaos.yaml` and `*.chaos.yml` files are tests, one an experiment.

    pytest experiments/                                # all of them, seed 1
    pytest experiments/ -n 4 --chaos-seed 7            # with pytest-xdist, another seed
    pytest experiments/ --chaos-without player.failover
    pytest experiments/ --chaos-report json=results.json
    pytest experiments/live --chaos-runtime live

A test passes when its verdict is `passed`, and for nothing less. Files that are not valid, or that need what the
runtime cannot do, are collection errors with every diagnostic. Results go to `--chaos-reports` as `harness run`
writes them, and into JUnit XML as properties of the test.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from harness.experiment.files import SUFFIX, is_experiment_file
from harness.pytest_plugin.items import MARKER, RUNTIME, ChaosFile, ChaosItem
from harness.pytest_plugin.options import add_options, budget_s, runtime, seed
from harness.pytest_plugin.suite import SharedSuite, report_suite


def pytest_addoption(parser: pytest.Parser) -> None:
    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"{MARKER}: a chaos experiment (a *{SUFFIX} file)")
    seed(config)
    budget_s(config)
    config.stash[RUNTIME] = runtime(config)
    if config.pluginmanager.hasplugin("xdist"):
        config.pluginmanager.register(SharedSuite(config), "harness-xdist")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if is_experiment_file(file_path):
        collector: pytest.Collector = ChaosFile.from_parent(parent, path=file_path)
        return collector
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Names are unique, for a run is found by its name."""
    places: dict[str, set[str]] = defaultdict(set)
    for item in items:
        if isinstance(item, ChaosItem):
            places[item.name].add(item.nodeid.split("::", maxsplit=1)[0])
    duplicates = [
        f"duplicate experiment name '{name}': {', '.join(sorted(files))}"
        for name, files in places.items()
        if len(files) > 1
    ]
    if duplicates:
        raise pytest.UsageError("\n".join(duplicates))


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """A run in which all experiments were left out is no success: nothing was run."""
    items = list(getattr(session, "items", ()))
    left_out = all(isinstance(item, ChaosItem) and item.left_out for item in items)
    if items and left_out and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.NO_TESTS_COLLECTED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Write the page of the whole suite and say where it is. Not in a worker: it has no terminal."""
    if (page := report_suite(config)) is not None:
        terminalreporter.write_line(f"chaos report: {page}")
