"""Results in a terminal: a line for each gate, then a block for each thing that has not passed."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby

from rich.console import Console
from rich.text import Text

from harness.gates.result import GateResult, Verdict
from harness.report.formatting import (
    GATE_COLUMNS,
    SYMBOLS,
    describe_arm_gate,
    held_invariants,
    pool_text,
    seeds_text,
    verdict_word,
)
from harness.report.problems import Problem, all_problems
from harness.text import one_line, shorten
from harness.verdict.model import ArmResult, ExperimentResult, JudgedExperiment, PooledResult
from harness.verdict.pool import counted_results

MAX_WIDTH = 120
MIN_WIDTH = 80


def make_console() -> Console:
    """On `sys.stdout`: as wide as the terminal, from `MIN_WIDTH` to `MAX_WIDTH`; without one `MAX_WIDTH`."""
    console = Console(highlight=False, soft_wrap=True)
    console.width = text_width(console) if console.is_terminal else MAX_WIDTH
    return console


def text_width(console: Console) -> int:
    return max(MIN_WIDTH, min(console.width, MAX_WIDTH))


def draws_bars(console: Console, environment: Mapping[str, str]) -> bool:
    """Whether to draw bars: on a terminal, and neither NO_COLOR nor CI is set."""
    return console.is_terminal and not environment.get("NO_COLOR") and not environment.get("CI")


STYLES = {
    Verdict.PASSED: "green",
    Verdict.FAILED: "bold red",
    Verdict.INCONCLUSIVE: "yellow",
    Verdict.ERROR: "bold magenta",
    Verdict.INTERRUPTED: "bold cyan",
}
_VERDICT = 17
"""Characters that the verdict takes, and what is beside a problem's labels."""


def badge(verdict: Verdict) -> Text:
    return Text(f"{SYMBOLS[verdict]} {verdict_word(verdict):<12}", STYLES[verdict])


def print_results(
    console: Console, results: Iterable[ExperimentResult], pooled: Sequence[PooledResult] = ()
) -> None:
    """The table of gates, then a block for everything that has not passed.

    Of a pooled experiment the gates of the pool, below one line for each seed.
    """
    results = tuple(results)
    if not results:
        return
    width = text_width(console)
    lines = [Text(), _header(width, plain=any(one.looks > 1 for one in pooled))]
    pools = {(one.name, one.file): one for one in pooled}
    for key, group in groupby(results, lambda one: (one.name, one.file)):
        for result in group:
            lines += [_head_line(result, width)] if key in pools else _result_lines(result, width)
        if key in pools:
            lines += _result_lines(pools[key], width)
    for problem in all_problems(counted_results(results, pooled)):
        lines += [Text(), *problem_lines(problem, width)]
    for line in [*lines, Text()]:
        print_line(console, line)


def print_line(console: Console, line: str | Text) -> None:
    """Print one line, whatever characters are in it."""
    text = line if isinstance(line, Text) else Text(line)
    plain = one_line(text.plain)
    if plain != text.plain:
        # The styles belong to positions that have moved.
        text = Text(plain)
    console.print(text, soft_wrap=True, highlight=False, markup=False)


def problem_lines(problem: Problem, width: int) -> list[Text]:
    """The block of one problem: what, why, the evidence, where it is written, how to run it again."""
    first, *more = textwrap.wrap(f"{problem.experiment}: {problem.subject}", width - _VERDICT)
    lines = [
        badge(problem.verdict).append(f"   {first}", "bold"),
        *(Text(" " * _VERDICT + part) for part in more),
    ]
    rows = [("why", problem.reason), *problem.details[:-1], ("at", problem.where), *problem.details[-1:]]
    for label, text in rows:
        lines += _labelled(label, text, width)
    return lines


def _header(width: int, *, plain: bool) -> Text:
    """`plain`: not every interval is a 90 % one; the heads of the pools say which they are."""
    first, *_ = _row("GATE", [column.title.upper() for column in GATE_COLUMNS], width)
    if plain:
        first = first.replace("90% INTERVAL", "    INTERVAL")
    return Text(f"  {'VERDICT':<{_VERDICT - 2}}{first}", "dim")


def _row(name: str, cells: Iterable[str], width: int) -> list[str]:
    """All of a line but the verdict; a long name goes on below itself, nothing is cut."""
    room = width - _VERDICT - sum(column.width for column in GATE_COLUMNS)
    first, *more = textwrap.wrap(name, room - 1) or [""]
    text, ends = "", 0
    for cell, column in zip(cells, GATE_COLUMNS, strict=True):
        ends += column.width
        # Cells stay apart: one that is wider than its column takes space from those after it.
        text += (f" {cell}" if cell else "").rjust(ends - len(text))
    return [f"{first:<{room}}{text}".rstrip(), *(" " * (_VERDICT + 2) + part for part in more)]


def _head_line(result: JudgedExperiment, width: int) -> Text:
    head = Text().append(f"{result.name}", "bold").append(" ")
    head.append(verdict_word(result.verdict), STYLES[result.verdict])
    about = pool_text(result) if isinstance(result, PooledResult) else seeds_text(result)
    return head.append(shorten(f"  {about}  {result.title}", max(10, width - len(head.plain))), "dim")


def _result_lines(result: JudgedExperiment, width: int) -> list[Text]:
    lines = [_head_line(result, width)]
    invariants = held_invariants(result.gates)
    for gate in result.gates:
        if len(invariants) < 2 or gate not in invariants:
            lines += _gate_lines(gate, gate.name, gate.verdict, width)
    if len(invariants) > 1:
        together = replace(invariants[0], samples=sum(gate.samples for gate in invariants))
        lines += _gate_lines(together, f"{len(invariants)} invariants, never violated", Verdict.PASSED, width)
    for arm in result.arms:
        lines += _arm_lines(arm, width)
    if (
        result.verdict is not Verdict.ERROR
    ):  # the notes of an error explain it: they are printed with the problem
        for note in result.notes:
            first, *more = textwrap.wrap(note, width - _VERDICT - 2) or [""]
            lines.append(Text("  ").append(f"{'· note':<14}", "yellow").append(f" {first}"))
            lines += [Text(" " * (_VERDICT + 2) + part) for part in more]
    return lines


def _gate_lines(gate: GateResult, name: str, verdict: Verdict, width: int) -> list[Text]:
    first, *more = _row(name, [column.text(gate) for column in GATE_COLUMNS], width)
    return [Text("  ").append_text(badge(verdict)).append(f" {first}"), *map(Text, more)]


def _arm_lines(arm: ArmResult, width: int) -> list[Text]:
    if not arm.gates:
        text = shorten(f" {arm.name}: {arm.reason}", width - _VERDICT)
        return [Text("  ").append_text(badge(arm.verdict)).append(text)]
    lines = []
    for gate in arm.gates:
        name = f"without {', '.join(arm.without)}: {gate.name} {describe_arm_gate(arm, gate)}"
        lines += _gate_lines(gate, name, arm.verdict, width)
    return lines


def _labelled(label: str, text: str, width: int) -> list[Text]:
    # A command or a path is never broken: it must be copied in one piece.
    keep = label in ("replay", "at")
    parts = [text] if keep else textwrap.wrap(text, width - _VERDICT, break_long_words=False) or [""]
    lines = [Text(f"    {label:<13}", "dim").append(parts[0], "default")]
    lines += [Text(" " * _VERDICT).append(part) for part in parts[1:]]
    return lines
