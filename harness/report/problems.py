"""Everything that has not passed, as data: `Problem`s that the terminal, the pages and CI print."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from harness.gates.result import GateResult, Verdict
from harness.report import formatting
from harness.report.formatting import describe_measurement
from harness.verdict.model import ArmResult, FaultResult, JudgedExperiment, PooledResult

FAULT = "fault "
"""What the subject of a fault begins with."""

MAX_ALSO = 8
"""How many consequences of one cause are listed."""

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


def problems(result: JudgedExperiment) -> tuple[Problem, ...]:
    """Everything of a run that has not passed, worst first, and each cause once: what has the same cause is among the
    details of the first. Never empty when the run itself has not passed."""
    found = sorted(_found(result), key=lambda problem: ORDER.index(problem.verdict))
    if result.verdict is Verdict.ERROR:
        cause = next(
            (one for one in found if one.verdict is Verdict.ERROR and one.reason in result.reason), None
        )
        if cause is None or cause.subject.startswith(FAULT):
            # What broke is neither a gate nor an arm: everything else follows from it.
            found = [problem for problem in found if problem is not cause]
            cause = cause or _problem(result, "the run", result.verdict, result.reason, None, ())
            notes = [note for note in result.notes if note not in result.reason]
            return (_with_others(cause, [*notes, *(_in_one_line(one, result.reason) for one in found)]),)
    if not found and result.verdict is not Verdict.PASSED:
        found.append(_problem(result, "the run", result.verdict, result.reason, None, ()))
    groups: list[list[Problem]] = []
    for problem in found:
        same = (group for group in groups if _is_same_error(group[0], problem))
        if (group := next(same, None)) is not None:
            group.append(problem)
        else:
            groups.append([problem])
    return tuple(
        _with_others(first, [_in_one_line(one, first.reason) for one in others]) for first, *others in groups
    )


def _is_same_error(first: Problem, other: Problem) -> bool:
    return first.verdict is other.verdict is Verdict.ERROR and first.reason in other.reason


def _in_one_line(problem: Problem, cause: str) -> str:
    """What else has not passed; why, unless that is the cause again."""
    why = "" if cause in problem.reason else f": {problem.reason}"
    return f"{problem.verdict.value}: {problem.subject}{why}"


def _with_others(problem: Problem, others: Sequence[str]) -> Problem:
    """The problem, with what follows from it among its details; `replay` stays the last."""
    rows = [("also", other) for other in others[:MAX_ALSO]]
    if len(others) > MAX_ALSO:
        rows.append(("also", f"{len(others) - MAX_ALSO} more"))
    details = problem.details
    at = len(details) - 1 if details and details[-1][0] == "replay" else len(details)
    return replace(problem, details=(*details[:at], *rows, *details[at:]))


def all_problems(results: Iterable[JudgedExperiment]) -> tuple[Problem, ...]:
    found = [problem for result in results for problem in problems(result)]
    return tuple(sorted(found, key=lambda problem: ORDER.index(problem.verdict)))


def _found(result: JudgedExperiment) -> Iterator[Problem]:
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
    result: JudgedExperiment, gate: GateResult, subject: str, faults: tuple[FaultResult, ...]
) -> Problem:
    details = [("measured", describe_measurement(gate))]
    needs = formatting.gate_needs(gate)
    if needs:
        details.append(("needs", needs))
    details += [("fault", formatting.fault_line(fault)) for fault in faults]
    return _problem(result, subject, gate.verdict, gate.reason, gate.line, tuple(details))


def _fault(result: JudgedExperiment, fault: FaultResult, subject: str) -> Problem:
    details = (("fault", formatting.fault_line(fault)),)
    return _problem(result, FAULT + subject, fault.verdict, fault.reason, None, details)


def _arm(result: JudgedExperiment, arm: ArmResult) -> Problem:
    details = [("without", ", ".join(arm.without)), ("must", arm.must)]
    for gate in arm.gates:
        details.append(("measured", f"{gate.name}: {describe_measurement(gate)}"))
    details += [("fault", formatting.fault_line(fault)) for fault in arm.faults]
    return _problem(result, f"arm {arm.name}", arm.verdict, arm.reason, arm.line, tuple(details))


def _problem(
    result: JudgedExperiment,
    subject: str,
    verdict: Verdict,
    reason: str,
    line: int | None,
    details: tuple[tuple[str, str], ...],
) -> Problem:
    off = (("switched off", ", ".join(result.without)),) if result.without else ()
    tail = (("replay", result.replay),) if result.replay else ()
    name = (
        f"{result.name} ({formatting.seeds_text(result)})"
        if isinstance(result, PooledResult)
        else result.name
    )
    return Problem(name, subject, verdict, result.file, line, reason, (*details, *off, *tail))
