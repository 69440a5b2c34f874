"""GitHub Actions: annotations on the lines of the experiments, and a step summary.

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
from harness.report import formatting as words
from harness.report.problems import Problem, all_problems
from harness.verdict.model import ExperimentResult

ANNOTATIONS_MOST = 10
SUMMARY_BYTES_MOST = 2**20
ROWS_MOST = 500
_LEVELS = {Verdict.ERROR: "error", Verdict.FAILED: "error"}


def active(environment: Mapping[str, str]) -> bool:
    return bool(environment.get("GITHUB_ACTIONS"))


class GitHubReporter:
    """A handler of engine events: writes annotations to `stream` and the summary to GITHUB_STEP_SUMMARY."""

    def __init__(self, stream: TextIO, environment: Mapping[str, str] | None = None) -> None:
        self._stream = stream
        self._environment = os.environ if environment is None else environment

    def __call__(self, event: events.EngineEvent) -> None:
        if not isinstance(event, events.SuiteFinished):
            return
        for line in annotations(event.results):
            self._stream.write(line + "\n")
        target = self._environment.get("GITHUB_STEP_SUMMARY")
        if target:
            with Path(target).open("a", encoding="utf-8") as file:
                file.write(summary(event))


def annotations(results: Sequence[ExperimentResult]) -> list[str]:
    """Workflow commands, worst first, at most ten in all."""
    found = all_problems(results)
    shown = found if len(found) <= ANNOTATIONS_MOST else found[: ANNOTATIONS_MOST - 1]
    lines = [_annotation(problem) for problem in shown]
    if len(shown) < len(found):
        more = len(found) - len(shown)
        level = _LEVELS.get(found[len(shown)].verdict, "warning")
        lines.append(f"::{level} title=harness::{more} more are not passed: see the report")
    return lines


def _annotation(problem: Problem) -> str:
    level = _LEVELS.get(problem.verdict, "warning")
    place = {"file": problem.file, "line": str(problem.line or 1), "title": problem.headline}
    properties = ",".join(f"{name}={_property(value)}" for name, value in place.items())
    message = "\n".join([problem.reason, *(f"{label}: {text}" for label, text in problem.details)])
    return f"::{level} {properties}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def summary(event: events.SuiteFinished) -> str:
    """Markdown: the verdict, a table of runs, then a section for all that is not passed, as many as fit."""
    head = [
        f"## {words.SYMBOLS[event.verdict]} {words.verdict_word(event.verdict)}, exit code {event.exit_code}",
        "",
    ]
    head += ["| verdict | experiment | seed | reason |", "|---|---|---|---|"]
    head += [
        f"| {words.verdict_word(run.verdict)} | {_cell(run.name)} | {run.seed} | {_cell(run.reason)} |"
        for run in event.results[:ROWS_MOST]
    ]
    if len(event.results) > ROWS_MOST:
        head.append(f"| ... | {len(event.results) - ROWS_MOST} more runs | | see the report |")
    return _fit(["\n".join(head), *map(_section, all_problems(event.results))])


def _section(problem: Problem) -> str:
    lines = [f"### {_cell(problem.headline)}", "", _cell(problem.reason), "", f"* at `{problem.where}`"]
    lines += [
        f"* {label}: `{text}`" if label == "replay" else f"* {label}: {_cell(text)}"
        for label, text in problem.details
    ]
    return "\n".join(lines)


def _cell(text: str) -> str:
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")
    return " ".join(escaped.split())


def _fit(sections: Sequence[str]) -> str:
    """Whole sections while they fit, then a line that says how many are left out."""
    room = SUMMARY_BYTES_MOST - 200
    text = ""
    for index, section in enumerate(sections):
        size = len(section.encode()) + 2
        if size > room:
            left = len(sections) - index
            return f"{text}{left} section{'' if left == 1 else 's'} left out: see the report.\n"
        room -= size
        text += section + "\n\n"
    return text
