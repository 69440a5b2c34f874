"""The suite directory of a test run: one for all its experiments, also under pytest-xdist."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.pytest_plugin.options import PREFIX, open_reporters

_SHARED = "chaos_suite"
"""What the workers of pytest-xdist are given: the name of the suite's directory."""

_SUITE = pytest.StashKey[Path]()


class SharedSuite:
    """In the process that hands out the tests: all workers write into one directory."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._name: str | None = None

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        from harness.engine.rundir import suite_stamp

        if self._name is None:
            self._name = f"{suite_stamp()}-{node.workerinput['testrunuid'][:6]}"
            # Not made yet: there may be no experiment among the tests.
            self._config.stash[_SUITE] = self._config.getoption(f"{PREFIX}reports") / self._name
        node.workerinput[_SHARED] = self._name


def suite_directory(config: pytest.Config) -> Path:
    """Made when the first experiment asks for it."""
    from harness.engine.rundir import joined_suite_directory, new_suite_directory

    if _SUITE not in config.stash:
        reports = config.getoption(f"{PREFIX}reports")
        shared = getattr(config, "workerinput", {}).get(_SHARED)
        config.stash[_SUITE] = (
            new_suite_directory(reports) if shared is None else joined_suite_directory(reports, shared)
        )
    return config.stash[_SUITE]


def report_suite(config: pytest.Config) -> Path | None:
    """Report the suite as a whole; the page that it is on. None without one, and in a worker."""
    suite = config.stash.get(_SUITE, None)
    if suite is None or not suite.is_dir():
        return None
    from harness.engine.events import EventDispatcher, SuiteFinished
    from harness.gates.result import EXIT_CODES, worst
    from harness.report.suite import recorded_results

    results = recorded_results(suite)
    if not results:
        return None
    verdict = worst(result.verdict for result in results)
    with open_reporters(config) as reporters:
        dispatcher = EventDispatcher(reporters.handlers)
        # Each run has its own time in pytest's report; the suite's is not known here.
        dispatcher(SuiteFinished(results, verdict, EXIT_CODES[verdict], 0.0, str(suite)))
        dispatcher.close()
    return suite / "index.html"
