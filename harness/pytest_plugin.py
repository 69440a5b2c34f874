"""pytest plugin: `*.chaos.yaml` files are tests, one an experiment.

    pytest experiments/                                # all of them, seed 1
    pytest experiments/ -n 4 --chaos-seed 7            # with pytest-xdist, another seed
    pytest experiments/ --chaos-without player.failover
    pytest experiments/ --chaos-report json=results.json

A test passes when its verdict is `passed`, and for nothing less. Files that are not valid are collection
errors with every diagnostic. Results go to `--chaos-reports` as `harness run` writes them, and into JUnit XML
as properties of the test.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.engine.runtimes import DEFAULT, RUNTIMES, all_options, runtime_options
from harness.errors import UsageError
from harness.runtime.options import RuntimeOptions

if TYPE_CHECKING:
    from harness.engine.read import ReadyExperiment
    from harness.report.registry import Reporters
    from harness.verdict.model import ExperimentResult

SUFFIX = ".chaos.yaml"
MARKER = "chaos"
_SHARED = "chaos_suite"
"""What the workers of pytest-xdist are told: the name of the suite's directory."""

PREFIX = "--chaos-"

_SUITE = pytest.StashKey[Path]()
_RUNTIME = pytest.StashKey[RuntimeOptions]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("chaos", "chaos experiments")
    group.addoption("--chaos-seed", type=int, default=1, metavar="N", help="seed of every experiment (1)")
    group.addoption(
        "--chaos-reports", type=Path, default=Path("reports"), metavar="DIR", help="where runs are written"
    )
    group.addoption(
        "--chaos-without",
        action="append",
        default=[],
        metavar="SAFEGUARD",
        help="switch this safeguard off; may be given more than once",
    )
    group.addoption(
        f"{PREFIX}report",
        action="append",
        default=[],
        metavar="NAME[=PATH]",
        help="report in this way, too (see 'harness list reporters'); may be given more than once",
    )
    group.addoption(
        f"{PREFIX}runtime",
        default=DEFAULT.name,
        choices=list(RUNTIMES),
        help=f"where experiments run ({DEFAULT.name})",
    )
    for option in all_options():
        group.addoption(
            f"{PREFIX}{option.name}",
            action="append" if option.many else "store",
            default=None,
            type=str if option.min is None else int,
            metavar=option.metavar,
            help=option.help,
        )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"{MARKER}: a chaos experiment (a *{SUFFIX} file)")
    if config.getoption("--chaos-seed") < 0:
        raise pytest.UsageError(f"--chaos-seed {config.getoption('--chaos-seed')}: give 0 or more")
    config.stash[_RUNTIME] = _runtime(config)
    if config.pluginmanager.hasplugin("xdist"):
        config.pluginmanager.register(_ForWorkers(config), "harness-xdist")


def _runtime(config: pytest.Config) -> RuntimeOptions:
    """What `--chaos-runtime` and its options ask for. Raises pytest.UsageError."""
    given = {option.name: config.getoption(f"{PREFIX}{option.name}") for option in all_options()}
    name = config.getoption(f"{PREFIX}runtime")
    if name == DEFAULT.name and not any(given.values()):
        return DEFAULT
    try:
        runtime = runtime_options(
            name, {option: value for option, value in given.items() if value is not None}, prefix=PREFIX
        )
    except UsageError as error:
        raise pytest.UsageError(*error.problems) from None
    if problems := runtime.problems():
        raise pytest.UsageError(*problems)
    return runtime


class _ForWorkers:
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
            self._config.stash[_SUITE] = self._config.getoption("--chaos-reports") / self._name
        node.workerinput[_SHARED] = self._name


def _suite_directory(config: pytest.Config) -> Path:
    """One directory for all experiments of this test run."""
    from harness.engine.rundir import joined_suite_directory, new_suite_directory

    if _SUITE not in config.stash:
        reports = config.getoption("--chaos-reports")
        shared = getattr(config, "workerinput", {}).get(_SHARED)
        config.stash[_SUITE] = (
            new_suite_directory(reports) if shared is None else joined_suite_directory(reports, shared)
        )
    return config.stash[_SUITE]


def _open_reporters(config: pytest.Config) -> AbstractContextManager[Reporters]:
    """Pages and JUnit XML, as `harness run` writes them; pytest itself reports in the terminal."""
    from harness.report.registry import open_reporters

    return open_reporters(config.getoption("--chaos-report"), defaults=("html", "junit"))


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if file_path.name.endswith(SUFFIX):
        collector: pytest.Collector = ChaosFile.from_parent(parent, path=file_path)
        return collector
    return None


class ChaosFile(pytest.File):
    """One experiment file."""

    def collect(self) -> Iterator[pytest.Item]:
        from harness.engine.plan import make_plan
        from harness.engine.read import read_experiments
        from harness.errors import ExperimentError

        runtime = self.config.stash[_RUNTIME]
        try:
            (loaded,) = read_experiments([self.path], runtime)
            make_plan(loaded, self.config.getoption("--chaos-seed"), self.config.getoption("--chaos-without"))
        except ExperimentError as error:
            raise self.CollectError("\n".join(map(str, error.diagnostics))) from None
        except UsageError as error:
            raise self.CollectError("\n".join(error.problems)) from None
        item: pytest.Item = ChaosItem.from_parent(self, name=loaded.experiment.experiment, loaded=loaded)
        if loaded.experiment.runtime not in (None, runtime.name):
            reason = f"needs {PREFIX}runtime {loaded.experiment.runtime}"
            if any(Path(arg.partition("::")[0]).resolve() == self.path for arg in self.config.args):
                raise self.CollectError(f"{loaded.display_path}: {reason}")
            item.add_marker(pytest.mark.skip(reason=f"left out: {reason}"))
        yield item


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Names are unique, for a run is found by its name."""
    places: dict[str, set[str]] = defaultdict(set)
    for item in items:
        if isinstance(item, ChaosItem):
            places[item.name].add(item.nodeid.split("::", maxsplit=1)[0])
    twice = [
        f"an experiment '{name}' is in {' and in '.join(sorted(files))}; names are unique"
        for name, files in places.items()
        if len(files) > 1
    ]
    if twice:
        raise pytest.UsageError("\n".join(twice))


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Experiments that were all left out are no success: nothing was run."""
    items = list(getattr(session, "items", ()))
    if items and exitstatus == pytest.ExitCode.OK and all(_left_out(item) for item in items):
        session.exitstatus = pytest.ExitCode.NO_TESTS_COLLECTED


def _left_out(item: pytest.Item) -> bool:
    mark = item.get_closest_marker("skip")
    return isinstance(item, ChaosItem) and mark is not None and "left out" in mark.kwargs.get("reason", "")


class NotPassed(Exception):
    """The verdict is another than passed."""

    def __init__(self, result: ExperimentResult) -> None:
        super().__init__(result.reason)
        self.result = result


class ChaosItem(pytest.Item):
    """One experiment with one seed. `-m chaos` selects them all, `-k` finds one by its tags, too."""

    def __init__(self, *, loaded: ReadyExperiment, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._loaded = loaded
        self.add_marker(MARKER)
        self.extra_keyword_matches.update(loaded.experiment.tags)

    def runtest(self) -> None:
        from harness.engine.events import EventDispatcher
        from harness.engine.experiment import run_experiment
        from harness.gates.result import Verdict

        with _open_reporters(self.config) as reporters:
            dispatcher = EventDispatcher(reporters.handlers)
            result = run_experiment(
                self._loaded,
                self.config.stash[_RUNTIME],
                _suite_directory(self.config),
                seed=self.config.getoption("--chaos-seed"),
                without=tuple(dict.fromkeys(self.config.getoption("--chaos-without"))),
                emit=dispatcher,
                finish=reporters.finish,
            )
            dispatcher.close()
        self.user_properties.append(("chaos_verdict", result.verdict.value))
        for name in ("seed", "history_sha256", "replay", "run"):
            self.user_properties.append((f"chaos_{name}", str(getattr(result, name))))
        self.add_report_section("call", "chaos", _account(result))
        if result.verdict is not Verdict.PASSED:
            raise NotPassed(result)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        if isinstance(excinfo.value, NotPassed):
            return _failure(excinfo.value.result)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, 0, self.name


def _account(result: ExperimentResult) -> str:
    """What was measured, for the report section."""
    from harness.report.columns import describe_measurement

    lines = [f"{result.verdict.value}: {result.reason}"]
    lines += [f"{gate.verdict.value:<12} {gate.name}: {describe_measurement(gate)}" for gate in result.gates]
    lines += [f"{arm.verdict.value:<12} {arm.reason}" for arm in result.arms]
    lines += [f"{'note':<12} {note}" for note in result.notes]
    lines.append(f"report: {result.run}/report.html")
    return "\n".join(lines)


def _failure(result: ExperimentResult) -> str:
    """Why the test has not passed: every problem with its place, and how to see it again."""
    from harness.report.formatting import MEANINGS
    from harness.report.problems import problems

    verdict = result.verdict
    lines = [f"{result.name}: {verdict.value.upper()}: {MEANINGS[verdict]}", result.reason]
    for problem in problems(result):
        lines.append(f"{problem.where}: {problem.headline}: {problem.reason}")
        lines += [f"    {label}: {text}" for label, text in problem.details if label != "replay"]
    lines.append(f"replay: {result.replay}")
    lines.append(f"report: {result.run}/report.html")
    return "\n".join(lines)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Write the page of the whole suite and say where it is. Not in a worker: it has no terminal."""
    suite = config.stash.get(_SUITE, None)
    if suite is None or not suite.is_dir():
        return
    from harness.engine.events import EventDispatcher, SuiteFinished
    from harness.gates.result import EXIT_CODES, worst
    from harness.report.suite import recorded_results

    results = recorded_results(suite)
    if results:
        verdict = worst(result.verdict for result in results)
        with _open_reporters(config) as reporters:
            dispatcher = EventDispatcher(reporters.handlers)
            # Each run has its own time in pytest's report; the suite's is not known here.
            dispatcher(SuiteFinished(results, verdict, EXIT_CODES[verdict], 0.0, str(suite)))
            dispatcher.close()
        terminalreporter.write_line(f"chaos report: {suite / 'index.html'}")
