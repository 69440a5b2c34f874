"""What `harness parity` has found: lines for the terminal, a JSON document, one HTML page."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness.gates.result import Verdict
from harness.parity.compare import Comparison, Outcome, Pair, worst_line
from harness.parity.run import Parity
from harness.report.formatting import SYMBOLS, quantity, verdict_word
from harness.report.pages import page_environment
from harness.text import plural
from harness.verdict.document import experiment_document

PARITY_JSON = "parity.json"
PARITY_PAGE = "parity.html"

MARKS = {Outcome.WITHIN: "✓", Outcome.OUTSIDE: "✗", Outcome.NOTHING: " "}

MEANINGS = {
    Verdict.PASSED: "virtual time and live come to the same: every verdict agrees, every figure is within its aim",
    Verdict.FAILED: "virtual time and live differ by more than the aim",
    Verdict.INCONCLUSIVE: "the verdicts agree, but there was no figure to compare",
    Verdict.ERROR: "a run broke, or a figure could not be computed: nothing can be said",
    Verdict.INTERRUPTED: "stopped before both halves were done",
}

_WHAT, _VALUE, _APART = 40, 22, 13


def lines(found: Parity) -> Iterator[str]:
    """A table for each experiment, then one line each, then the verdict."""
    for pair in found.pairs:
        yield from _pair_lines(pair)
    yield ""
    for text in found.left_out:
        yield f"- not compared: {text}"
    for pair in found.pairs:
        yield f"{SYMBOLS[pair.verdict]} {title(pair)}: {worst_line(pair)}"
    yield ""
    yield f"Report: {found.directory / PARITY_PAGE}"
    figures = [one for pair in found.pairs for one in pair.comparisons if one.outcome is not Outcome.NOTHING]
    outside = sum(len(pair.outside) for pair in found.pairs)
    yield (
        f"{SYMBOLS[found.verdict]} {verdict_word(found.verdict)}  {MEANINGS[found.verdict]} "
        f"({plural(len(figures) - outside, 'figure')} within, {outside} outside), exit code {found.exit_code}"
    )


def _pair_lines(pair: Pair) -> Iterator[str]:
    yield ""
    yield f"{title(pair)}  {pair.sim.title}"
    head = (
        f"  {'':<11}{'':<{_WHAT}}{'VIRTUAL TIME':>{_VALUE}}{'LIVE':>{_VALUE}}{'APART':>{_APART}}{'AIM':>10}"
    )
    yield head.rstrip()
    for one in pair.comparisons:
        yield f"  {MARKS[one.outcome]} {_outcome(one):<9}{_row(one)}".rstrip()
    for each in pair.distributions:
        name = f"{each.table}.{each.column}"
        values = [f"{quantity(s.p50, 's')} / {quantity(s.p90, 's')}" for s in (each.sim, each.live)]
        yield (
            f"  {'·':<11}{f'{name}, p50 / p90':<{_WHAT}}{values[0]:>{_VALUE}}{values[1]:>{_VALUE}}"
            f"{quantity(each.shift_s, 's'):>{_APART}}{f'KS {each.distance:.2f}':>10}"
        )
    for text in pair.broken:
        yield f"  ! {text}"


def _outcome(one: Comparison) -> str:
    return "" if one.outcome is Outcome.NOTHING else one.outcome.value


def _row(one: Comparison) -> str:
    what = one.what if len(one.what) < _WHAT else f"{one.what[: _WHAT - 2]}…"
    apart = "" if one.aim is None else one.apart
    aim = "the same" if one.aim is None else one.aim.text(one.unit)
    if one.outcome is Outcome.NOTHING:
        aim = ""
    return f"{what:<{_WHAT}}{_value(one, 0):>{_VALUE}}{_value(one, 1):>{_VALUE}}{apart:>{_APART}}{aim:>10}"


def _value(one: Comparison, side: int) -> str:
    """The value; with the verdict where the two worlds do not agree on it, or where there is nothing else."""
    value = (one.sim, one.live)[side]
    if one.said is None:
        return "none" if value is None else quantity(value, one.unit)
    said = one.said[side]
    if one.unit == "" or (value is None and one.aim is None):
        return said
    text = "none" if value is None else quantity(value, one.unit)
    return text if one.said[0] == one.said[1] else f"{text} {said}"


def title(pair: Pair) -> str:
    return f"{pair.sim.name} seed {pair.sim.seed}"


def document(found: Parity) -> dict[str, Any]:
    """`{"verdict", "exit_code", "agree", "experiments": [...]}`, of plain JSON values only."""
    return {
        "verdict": found.verdict.value,
        "exit_code": found.exit_code,
        "agree": bool(found.pairs) and all(pair.agree for pair in found.pairs),
        "directory": str(found.directory),
        "left_out": list(found.left_out),
        "experiments": [_document(pair) for pair in found.pairs],
    }


def _document(pair: Pair) -> dict[str, Any]:
    return {
        "name": pair.sim.name,
        "seed": pair.sim.seed,
        "verdict": pair.verdict.value,
        "agree": pair.agree,
        "comparisons": [_comparison(one) for one in pair.comparisons],
        "distributions": [asdict(each) for each in pair.distributions],
        "broken": list(pair.broken),
        "sim": experiment_document(pair.sim),
        "live": experiment_document(pair.live),
    }


def _comparison(one: Comparison) -> dict[str, Any]:
    return {
        "what": one.what,
        "outcome": one.outcome.value,
        "unit": one.unit,
        "sim": one.sim,
        "live": one.live,
        "aim": None if one.aim is None else asdict(one.aim),
        "rows": list(one.rows),
        "verdicts": None if one.said is None else list(one.said),
    }


def page(found: Parity) -> str:
    """One self-contained HTML page, with links to the pages of both runs."""
    return (
        page_environment(Path(__file__).parent / "templates")
        .get_template("parity.html.j2")
        .render(
            found=found,
            meaning=f"{MEANINGS[found.verdict][0].upper()}{MEANINGS[found.verdict][1:]}.",
            pairs=[(pair, _links(pair, found.directory)) for pair in found.pairs],
            title=title,
            worst=worst_line,
            value=_value,
            marks=MARKS,
            nothing=Outcome.NOTHING,
            outside=Outcome.OUTSIDE,
        )
    )


def _links(pair: Pair, directory: Path) -> tuple[str, str]:
    return tuple(  # type: ignore[return-value]
        Path(os.path.relpath(Path(result.run) / "report.html", directory)).as_posix()
        for result in (pair.sim, pair.live)
    )


def write(found: Parity) -> None:
    """`parity.json` and `parity.html` in the directory of both halves."""
    found.directory.mkdir(parents=True, exist_ok=True)
    text = json.dumps(document(found), indent=2, allow_nan=False, ensure_ascii=False)
    (found.directory / PARITY_JSON).write_text(text + "\n", encoding="utf-8")
    (found.directory / PARITY_PAGE).write_text(page(found), encoding="utf-8")
