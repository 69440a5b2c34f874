"""Experiment files as collectors, and experiments as tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.pytest_plugin import options
from harness.pytest_plugin.suite import suite_directory
from harness.runtime.options import RuntimeOptions
from harness.text import one_line

if TYPE_CHECKING:
    from harness.engine.read import ReadyExperiment
    from harness.verdict.model import ExperimentResult

MARKER = "chaos"

RUNTIME = pytest.StashKey[RuntimeOptions]()


class ChaosFile(pytest.File):
    """One experiment file. What is wrong with it, or what the runtime cannot do, is a collection error."""

    def collect(self) -> Iterator[pytest.Item]:
        from harness.engine.plan import make_plan
        from harness.engine.read import read_experiments
        from harness.errors import InvalidInput

        runtime = self.config.stash[RUNTIME]
        try:
            (loaded,) = read_experiments([self.path], runtime, options.variables(self.config, self.path))
            make_plan(loaded, _seed(self.config, loaded), options.without(self.config))
        except InvalidInput as error:
            lines = [one_line(str(one)) for one in error.diagnostics]
            raise self.CollectError("\n".join(lines)) from None
        item: pytest.Item = ChaosItem.from_parent(self, name=loaded.experiment.experiment, loaded=loaded)
        if loaded.experiment.runtime not in (None, runtime.name):
            reason = f"needs {options.PREFIX}runtime {loaded.experiment.runtime}"
            if any(Path(arg.partition("::")[0]).resolve() == self.path for arg in self.config.args):
                raise self.CollectError(f"{loaded.display_path}: {reason}")
            item.add_marker(pytest.mark.skip(reason=f"left out: {reason}"))
        yield item


def _seed(config: pytest.Config, loaded: ReadyExperiment) -> int:
    given = options.seed(config)
    return loaded.seed if given is None else given


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

    @property
    def left_out(self) -> bool:
        """It is made for another runtime."""
        return self._loaded.experiment.runtime not in (None, self.config.stash[RUNTIME].name)

    def runtest(self) -> None:
        from harness.engine.events import EventDispatcher
        from harness.engine.experiment import run_experiment
        from harness.gates.result import Verdict

        with options.open_reporters(self.config) as reporters:
            dispatcher = EventDispatcher(reporters.handlers)
            result = run_experiment(
                self._loaded,
                self.config.stash[RUNTIME],
                suite_directory(self.config),
                seed=_seed(self.config, self._loaded),
                without=options.without(self.config),
                budget_s=options.budget_s(self.config),
                emit=dispatcher,
                finish=reporters.finish,
            )
            dispatcher.close()
        self.user_properties.append(("chaos_verdict", result.verdict.value))
        for name in ("seed", "history_sha256", "replay", "run"):
            self.user_properties.append((f"chaos_{name}", str(getattr(result, name))))
        self.add_report_section("call", "chaos", describe_measurements(result))
        if result.verdict is not Verdict.PASSED:
            raise NotPassed(result)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        if isinstance(excinfo.value, NotPassed):
            return describe_failure(excinfo.value.result)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, 0, self.name


def describe_measurements(result: ExperimentResult) -> str:
    """What was measured, for the report section."""
    from harness.report.formatting import describe_measurement

    lines = [f"{result.verdict.value}: {result.reason}"]
    lines += [f"{gate.verdict.value:<12} {gate.name}: {describe_measurement(gate)}" for gate in result.gates]
    lines += [f"{arm.verdict.value:<12} {arm.reason}" for arm in result.arms]
    lines += [f"{'note':<12} {note}" for note in result.notes]
    lines.append(f"report: {result.run}/report.html")
    return "\n".join(map(one_line, lines))


def describe_failure(result: ExperimentResult) -> str:
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
    return "\n".join(map(one_line, lines))
