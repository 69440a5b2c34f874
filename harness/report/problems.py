"""Everything that has not passed, as data: `Problem`s that the terminal, the pages and CI print."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from harness.gates.result import GateResult, Verdict
from harness.report import formatting
from harness.report.formatting import describe_measurement
from harness.verdict.model import ArmResult, ExperimentResult, FaultResult

# Worst first; a failure is what a person wants to see before a doubt.
ORDER = (Verdict.ERROR, Verdict.FAILED, Verdict.INCONCLUSIVE, Verdict.INTERRUPTED, Verdict.PASSED)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that has not passed.

    `subject` names the gate, fault or arm; `details` are (label, text) pairs in reading order; `line` is the
    one-based line in `file`, None where the whole experiment is meant.
    """

    experiment: str
    subject: str
    verdict: Verdict
    file: str
    line: int | None
    reason: str
    details: tuple[tuple[str, str], ...]

    @property
    def where(self) -> str:
        return self.file if self.line is None else f"{self.file}:{self.line}"

    @property
    def headline(self) -> str:
        return f"{formatting.verdict_word(self.verdict)} {self.experiment}: {self.subject}"


def problems(result: ExperimentResult) -> tuple[Problem, ...]:
    """Everything of a run that has not passed, worst first. Never empty when the run itself has not."""
    found = list(_found(result))
    if result.verdict is Verdict.ERROR:
        # The cause first: the rest follows from it.
        details = tuple(("also", note) for note in result.notes if note not in result.reason)[:5]
        found.insert(0, _problem(result, "the run", result.verdict, result.reason, None, details))
    if not found and result.verdict is not Verdict.PASSED:
        found.append(_problem(result, "the run", result.verdict, result.reason, None, ()))
    return tuple(sorted(found, key=lambda problem: ORDER.index(problem.verdict)))


def all_problems(results: Iterable[ExperimentResult]) -> tuple[Problem, ...]:
    found = [problem for result in results for problem in problems(result)]
    return tuple(sorted(found, key=lambda problem: ORDER.index(problem.verdict)))


def _found(result: ExperimentResult) -> Iterator[Problem]:
    for gate in result.steady_state:
        if gate.verdict is not Verdict.PASSED:
            yield _gate(result, gate, f"steady state before the faults: {gate.name}", ())
    for fault in result.faults:
        if fault.verdict is not Verdict.PASSED:
            yield _fault(result, fault, fault.name)
    for gate in result.gates:
        if gate.verdict is not Verdict.PASSED:
            yield _gate(result, gate, gate.name, result.faults)
    for arm in result.arms:
        if arm.verdict is not Verdict.PASSED:
            yield _arm(result, arm)


def _gate(
    result: ExperimentResult, gate: GateResult, subject: str, faults: tuple[FaultResult, ...]
) -> Problem:
    details = [("measured", describe_measurement(gate))]
    needs = formatting.gate_needs(gate)
    if needs:
        details.append(("needs", needs))
    details += [("fault", formatting.fault_line(fault)) for fault in faults]
    return _problem(result, subject, gate.verdict, gate.reason, gate.line, tuple(details))


def _fault(result: ExperimentResult, fault: FaultResult, subject: str) -> Problem:
    details = (("fault", formatting.fault_line(fault)),)
    return _problem(result, f"fault {subject}", fault.verdict, fault.reason, None, details)


def _arm(result: ExperimentResult, arm: ArmResult) -> Problem:
    details = [("without", ", ".join(arm.without)), ("must", arm.must)]
    for gate in arm.gates:
        details.append(("measured", f"{gate.name}: {describe_measurement(gate)}"))
    details += [("fault", formatting.fault_line(fault)) for fault in arm.faults]
    line = next((gate.line for gate in arm.gates if gate.line is not None), None)
    return _problem(result, f"arm {arm.name}", arm.verdict, arm.reason, line, tuple(details))


def _problem(
    result: ExperimentResult,
    subject: str,
    verdict: Verdict,
    reason: str,
    line: int | None,
    details: tuple[tuple[str, str], ...],
) -> Problem:
    off = (("switched off", ", ".join(result.without)),) if result.without else ()
    tail = (("replay", result.replay),) if result.replay else ()
    return Problem(result.name, subject, verdict, result.file, line, reason, (*details, *off, *tail))
