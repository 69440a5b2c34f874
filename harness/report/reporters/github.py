"""`github`: for GitHub Actions, annotations on the lines of the experiments, and a step summary.

GitHub shows at most ten errors and ten warnings a step and drops the rest without a word, so the worst come
first and the last one says how many more there are. A summary above 1 MiB is refused as a whole: it is cut.
Source of both limits: GitHub's documentation of workflow commands and of job summaries.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO

from harness.engine import events
from harness.gates.result import Verdict
from harness.report import formatting
from harness.report.problems import Problem, all_problems
from harness.report.reporter import Reporter, reporter
from harness.text import escape_controls, one_line
from harness.verdict.model import JudgedExperiment
from harness.verdict.pool import counted_results

MAX_ANNOTATIONS = 10
MAX_SUMMARY_BYTES = 2**20
MAX_ROWS = 500
_LEVELS = {Verdict.ERROR: "error", Verdict.FAILED: "error"}


@reporter("github")
class GitHubReporter(Reporter):
    """Annotations on stdout and a step summary, for GitHub Actions."""

    def __init__(
        self,
        path: Path | None = None,
        *,
        stream: TextIO | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        """`stream` None: stdout. The summary goes to the file that GITHUB_STEP_SUMMARY names."""
        super().__init__(path)
        self._stream = stream
        self._environment = environment

    @classmethod
    def is_default(cls, environment: Mapping[str, str]) -> bool:
        return bool(environment.get("GITHUB_ACTIONS"))

    def __call__(self, event: events.EngineEvent) -> None:
        if not isinstance(event, events.SuiteFinished):
            return
        for line in make_annotations(counted_results(event.results, event.pooled)):
            print(line, file=self._stream)
        target = self._environment.get("GITHUB_STEP_SUMMARY")
        if target:
            with Path(target).open("a", encoding="utf-8") as file:
                file.write(make_summary(event))


def make_annotations(results: Sequence[JudgedExperiment]) -> list[str]:
    """Workflow commands, worst first, at most ten in all."""
    return annotate(all_problems(results))


def annotate(found: Sequence[Problem]) -> list[str]:
    """A workflow command for each problem, at most ten in all."""
    shown = found if len(found) <= MAX_ANNOTATIONS else found[: MAX_ANNOTATIONS - 1]
    lines = [_make_annotation(problem) for problem in shown]
    if len(shown) < len(found):
        more = len(found) - len(shown)
        level = _LEVELS.get(found[len(shown)].verdict, "warning")
        lines.append(f"::{level} title=harness::{more} more have not passed: see the report")
    return lines


def _make_annotation(problem: Problem) -> str:
    level = _LEVELS.get(problem.verdict, "warning")
    place = {
        "file": path_in_repository(problem.file),
        "line": str(problem.line or 1),
        "title": problem.headline,
    }
    properties = ",".join(f"{name}={_property(value)}" for name, value in place.items())
    message = "\n".join([problem.reason, *(f"{label}: {text}" for label, text in problem.details)])
    return f"::{level} {properties}::{_data(message)}"


def path_in_repository(file: str) -> str:
    """The file seen from the root of its git repository, as GitHub shows it; unchanged outside of one."""
    try:
        path = Path(file).resolve()
        root = next((parent for parent in path.parents if (parent / ".git").exists()), None)
    except (OSError, ValueError):  # no name of a file
        return file
    return file if root is None else path.relative_to(root).as_posix()


def _data(text: str) -> str:
    escaped = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return one_line(escaped)


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def make_summary(event: events.SuiteFinished) -> str:
    """Markdown: the verdict, a table of runs, then a section for each problem, as many as fit."""
    head = [
        f"## {formatting.SYMBOLS[event.verdict]} {formatting.verdict_word(event.verdict)}, exit code {event.exit_code}",
        "",
    ]
    rows: Sequence[JudgedExperiment] = (*event.pooled, *event.results)
    head += ["| verdict | experiment | seed | reason |", "|---|---|---|---|"]
    head += [
        f"| {formatting.verdict_word(run.verdict)} | {_cell(run.name)} | {formatting.seeds_text(run)} | "
        f"{_cell(run.reason)} |"
        for run in rows[:MAX_ROWS]
    ]
    if len(rows) > MAX_ROWS:
        head.append(f"| ... | {len(rows) - MAX_ROWS} more | | see the report |")
    sections = ["\n".join(head), *map(_section, all_problems(counted_results(event.results, event.pooled)))]
    return _fit([escape_controls(section, keep="\n") for section in sections])


def _section(problem: Problem) -> str:
    lines = [f"### {_cell(problem.headline)}", "", _cell(problem.reason), "", f"* at {_code(problem.where)}"]
    lines += [
        f"* {label}: {_code(text) if label == 'replay' else _cell(text)}" for label, text in problem.details
    ]
    return "\n".join(lines)


def _cell(text: str) -> str:
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")
    return " ".join(escaped.split())


def _code(text: str) -> str:
    return f"`{' '.join(text.replace('`', ' ').split())}`"


def _fit(sections: Sequence[str]) -> str:
    """Whole sections while they fit, then a line that says how many are left out."""
    room = MAX_SUMMARY_BYTES - 200
    text = ""
    for index, section in enumerate(sections):
        size = len(section.encode()) + 2
        if size > room:
            left = len(sections) - index
            return f"{text}{left} section{'' if left == 1 else 's'} left out: see the report.\n"
        room -= size
        text += section + "\n\n"
    return text
