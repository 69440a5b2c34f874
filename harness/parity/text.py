"""A parity result for people: lines for a terminal, and the sentences that the page shows as well."""

from __future__ import annotations

from collections.abc import Iterator

from harness.gates.result import Verdict
from harness.parity.comparison import SAME
from harness.parity.model import Comparison, ExperimentParity, Outcome, ParityResult
from harness.report.formatting import SYMBOLS, verdict_word
from harness.sli.formatting import duration, quantity
from harness.text import plural, shorten

MARKS = {Outcome.WITHIN: "✓", Outcome.OUTSIDE: "✗", Outcome.NOT_COMPARED: " "}

MEANINGS = {
    Verdict.PASSED: "every verdict is the same, every figure is within its threshold",
    Verdict.FAILED: "virtual time and live differ by more than the threshold",
    Verdict.INCONCLUSIVE: "the verdicts are the same, but there is no figure to compare",
    Verdict.ERROR: "a run broke, or a figure could not be computed; there is no comparison",
    Verdict.INTERRUPTED: "interrupted before both halves were done",
}

_NAME, _VALUE, _DIFFERENCE, _THRESHOLD = 40, 22, 13, 11


def result_lines(result: ParityResult, page: str) -> Iterator[str]:
    """A table for each experiment, then one line each, then the verdict. `page`: the file of the report."""
    for one in result.experiments:
        yield from _table(one)
    yield ""
    for text in result.left_out:
        yield f"- not compared: {text}"
    for one in result.experiments:
        yield f"{SYMBOLS[one.verdict]} {one.title}: {summarize(one)}"
    yield ""
    yield f"Report: {result.directory / page}"
    compared = sum(
        one.outcome is not Outcome.NOT_COMPARED for pair in result.experiments for one in pair.comparisons
    )
    outside = sum(len(pair.outside) for pair in result.experiments)
    yield (
        f"{SYMBOLS[result.verdict]} {verdict_word(result.verdict)}  {MEANINGS[result.verdict]} "
        f"({plural(compared - outside, 'figure')} within, {outside} outside), exit code {result.exit_code}"
    )


def summarize(one: ExperimentParity) -> str:
    """What is outside, in a few words; when nothing is, the distribution that is furthest apart."""
    if one.errors:
        return one.errors[0]
    if one.outside:
        return f"outside: {', '.join(each.name for each in one.outside)}"
    if not one.distributions:
        return "everything that could be compared is within its threshold"
    furthest = max(one.distributions, key=lambda each: each.distance)
    return (
        f"all within; the distribution furthest apart is {furthest.table}.{furthest.column}, "
        f"shifted by {duration(furthest.shift_s)}"
    )


def value_text(one: Comparison, side: int) -> str:
    """The value in virtual time (0) or live (1), with the verdict where the two differ or where there is no value."""
    value = (one.sim, one.live)[side]
    text = "none" if value is None else quantity(value, one.unit)
    if one.verdicts is None:
        return text
    verdict = one.verdicts[side]
    if one.unit == "" or (value is None and one.threshold is None):
        return verdict
    return text if one.verdicts[0] == one.verdicts[1] else f"{text} {verdict}"


def threshold_text(one: Comparison) -> str:
    if one.outcome is Outcome.NOT_COMPARED:
        return ""
    return SAME if one.threshold is None else one.threshold.text(one.unit)


def difference_text(one: Comparison) -> str:
    return "" if one.threshold is None else one.difference


def _table(pair: ExperimentParity) -> Iterator[str]:
    yield ""
    yield f"{pair.title}  {pair.sim.title}"
    yield _line("", "", "VIRTUAL TIME", "LIVE", "DIFFERENCE", "THRESHOLD")
    for one in pair.comparisons:
        outcome = "" if one.outcome is Outcome.NOT_COMPARED else one.outcome.value
        name = shorten(one.name, _NAME - 1)
        values = (value_text(one, 0), value_text(one, 1))
        yield _line(
            f"{MARKS[one.outcome]} {outcome}", name, *values, difference_text(one), threshold_text(one)
        )
    for each in pair.distributions:
        sim, live = (f"{quantity(s.p50, 's')} / {quantity(s.p90, 's')}" for s in (each.sim, each.live))
        name = f"{each.table}.{each.column}, p50 / p90"
        yield _line("·", name, sim, live, quantity(each.shift_s, "s"), f"KS {each.distance:.2f}")
    for text in pair.errors:
        yield f"  ! {text}"


def _line(outcome: str, name: str, sim: str, live: str, difference: str, threshold: str) -> str:
    return (
        f"  {outcome:<11}{name:<{_NAME}}{sim:>{_VALUE}}{live:>{_VALUE}}{difference:>{_DIFFERENCE}}"
        f"{threshold:>{_THRESHOLD}}"
    ).rstrip()
