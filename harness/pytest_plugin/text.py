"""The verdict of an experiment as text in pytest's own report."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.verdict.model import ExperimentResult


def describe_measurements(result: ExperimentResult) -> str:
    """What was measured, for the report section."""
    from harness.report.columns import describe_measurement

    lines = [f"{result.verdict.value}: {result.reason}"]
    lines += [f"{gate.verdict.value:<12} {gate.name}: {describe_measurement(gate)}" for gate in result.gates]
    lines += [f"{arm.verdict.value:<12} {arm.reason}" for arm in result.arms]
    lines += [f"{'note':<12} {note}" for note in result.notes]
    lines.append(f"report: {result.run}/report.html")
    return "\n".join(lines)


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
    return "\n".join(lines)
