"""`junit`: JUnit XML with one test suite for each run, one test case for each gate, fault and arm.

FAILED becomes `failure`, ERROR and INCONCLUSIVE `error` (of that type: without evidence it is never green),
INTERRUPTED `skipped` beside an `error` of the run itself.

The time of a suite is the real time of its run; its cases share it evenly, for what shows test results adds cases up.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.engine.events import EngineEvent, RunFinished, RunJudged, SuiteFinished
from harness.gates.result import Verdict
from harness.report import formatting
from harness.report.formatting import describe_measurement
from harness.report.problems import problems
from harness.report.reporter import Reporter, reporter
from harness.text import escape_controls
from harness.verdict.model import ExperimentResult, JudgedExperiment, PooledResult
from harness.verdict.pool import counted_results


@reporter("junit")
class JunitReporter(Reporter):
    """JUnit XML: junit.xml in each run directory, and one for the suite."""

    default = True
    file = "junit.xml"
    artifacts = True

    def __init__(self, path: Path | None = None) -> None:
        super().__init__(path)
        self._elapsed_s: dict[str, float] = {}

    def __call__(self, event: EngineEvent) -> None:
        match event:
            case RunFinished():
                self._elapsed_s[event.result.run] = event.elapsed_s
            case RunJudged():
                (event.run.directory / self.file).write_text(to_junit([event.result]), encoding="utf-8")
            case SuiteFinished() if event.results:
                self.suite_file(event).write_text(
                    to_junit(event.results, event.elapsed_s, event.pooled, self._elapsed_s), encoding="utf-8"
                )


@dataclass(frozen=True, slots=True)
class _Case:
    name: str
    verdict: Verdict
    message: str


def to_junit(
    results: Sequence[ExperimentResult],
    elapsed_s: float | None = None,
    pooled: Sequence[PooledResult] = (),
    run_elapsed_s: Mapping[str, float] | None = None,
) -> str:
    """The document as text. `elapsed_s`, `run_elapsed_s`: real seconds of the suite, and of runs by their directory.

    A run that has not passed by itself, and is settled by the pool, is one skipped case.
    """
    root = ET.Element("testsuites", name="harness")
    totals = dict.fromkeys(("tests", "failures", "errors", "skipped"), 0)
    counted = counted_results(results, pooled)
    shown: tuple[JudgedExperiment, ...] = (*pooled, *results)
    for result in shown:
        settled = result not in counted and result.verdict is not Verdict.PASSED
        time_s = 0.0 if isinstance(result, PooledResult) else (run_elapsed_s or {}).get(result.run, 0.0)
        suite, counts = _suite(result, time_s, settled=settled)
        root.append(suite)
        totals = {name: totals[name] + counts[name] for name in totals}
    for name, count in totals.items():
        root.set(name, str(count))
    root.set("time", f"{elapsed_s or 0.0:.3f}")
    ET.indent(root)
    document = '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"
    return escape_controls(document, keep="\n")


def _suite(result: JudgedExperiment, time_s: float, *, settled: bool) -> tuple[ET.Element, dict[str, int]]:
    cases = list(_cases(result))
    if settled:
        reason = f"{result.verdict.value} by itself: {result.reason}"
        cases = [_Case("run", Verdict.INTERRUPTED, reason)]
    counts = {
        "tests": len(cases),
        "failures": sum(case.verdict is Verdict.FAILED for case in cases),
        "errors": sum(case.verdict in (Verdict.ERROR, Verdict.INCONCLUSIVE) for case in cases),
        "skipped": sum(case.verdict is Verdict.INTERRUPTED for case in cases),
    }
    suite = ET.Element("testsuite", name=result.name, time=f"{time_s:.3f}")
    for name, count in counts.items():
        suite.set(name, str(count))
    properties = ET.SubElement(suite, "properties")
    for name, value in (
        *_seed_properties(result),
        ("verdict", result.verdict.value),
        ("replay", result.replay),
        *(("without", name) for name in result.without),
    ):
        ET.SubElement(properties, "property", name=name, value=value)
    for case in cases:
        suite.append(_case(result, case, time_s / len(cases)))
    return suite, counts


def _seed_properties(result: JudgedExperiment) -> Iterator[tuple[str, str]]:
    if isinstance(result, PooledResult):
        yield "seeds", ",".join(map(str, result.seeds))
        yield "confidence", str(result.confidence)
    else:
        yield "seed", str(result.seed)
        yield "history_sha256", result.history_sha256
        yield "run", result.run


def _cases(result: JudgedExperiment) -> Iterator[_Case]:
    for gate in result.steady_state:
        yield _Case(
            f"steady state: {gate.name}", gate.verdict, f"{gate.reason} ({describe_measurement(gate)})"
        )
    for fault in result.faults:
        yield _Case(f"fault: {fault.name}", fault.verdict, f"{fault.reason} ({formatting.fault_line(fault)})")
    for gate in result.gates:
        yield _Case(f"gate: {gate.name}", gate.verdict, f"{gate.reason} ({describe_measurement(gate)})")
    for arm in result.arms:
        yield _Case(f"arm: {arm.name}", arm.verdict, arm.reason)
    # The cause may be in none of the run's parts (a service broke): then the run is a case itself.
    parts = [
        *(gate.verdict for gate in (*result.steady_state, *result.gates)),
        *(fault.verdict for fault in result.faults),
        *(arm.verdict for arm in result.arms),
    ]
    if result.verdict not in parts:
        verdict = Verdict.ERROR if result.verdict is Verdict.INTERRUPTED else result.verdict
        yield _Case("run", verdict, result.reason)


def _case(result: JudgedExperiment, case: _Case, time_s: float) -> ET.Element:
    element = ET.Element(
        "testcase",
        classname=result.name,
        name=f"{case.name} ({formatting.seeds_text(result)})",
        file=result.file,
        time=f"{time_s:.3f}",
    )
    if case.verdict is Verdict.PASSED:
        return element
    tag = {Verdict.FAILED: "failure", Verdict.INTERRUPTED: "skipped"}.get(case.verdict, "error")
    message = f"{formatting.verdict_word(case.verdict)}: {case.message}"
    child = ET.SubElement(element, tag, message=message, type=case.verdict.value)
    child.text = _details(result)
    return element


def _details(result: JudgedExperiment) -> str:
    lines = []
    for problem in problems(result):
        lines += [problem.headline, f"  {problem.reason}", f"  at: {problem.where}"]
        lines += [f"  {label}: {text}" for label, text in problem.details]
    return "\n".join(lines)
