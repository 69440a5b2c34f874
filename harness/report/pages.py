"""One self-contained HTML page a run, and an index of the suite: no script, no request, works from file://.

The page never grows beyond `MAX_PAGE_BYTES`: points are thinned first (see `downsample`), then whole charts
are left out from the end, with a line that says so.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from harness.faults.exposure import Effects
from harness.gates.result import GateResult, Verdict, worst
from harness.report import formatting
from harness.report.chart_series import ChartContext
from harness.report.charts import draw_arrivals, draw_charts, draw_processors
from harness.report.formatting import GATE_COLUMNS, held_invariants
from harness.report.problems import ORDER, problems
from harness.report.slo_charts import arm_charts, objective_charts
from harness.report.svg import Figure, draw_interval, render
from harness.system import find_system
from harness.text import escape_controls, plural
from harness.verdict.model import ExperimentResult, PooledResult
from harness.verdict.pool import counted_results
from harness.verdict.recorded import RecordedRun

if TYPE_CHECKING:
    from jinja2 import Environment

MAX_PAGE_BYTES = 1_500_000
MAX_CHARTS_BYTES = 1_000_000
MAX_TEXT = 2_000
TEMPLATES = Path(__file__).parent / "templates"


RUN_PAGE = "report.html"
_FACTS = ("seed", "system", "runtime", "arguments", "slos_file", "rows", "versions")
"""Fields of the environment that a page shows where they are not empty; others are in the result, or of no interest."""


def recorded_run_page(run: RecordedRun, result: ExperimentResult) -> str:
    """The page of a recorded run, with the charts that its system declares, or else of the SLOs of its gates.

    Raises HistoryError, InvalidSystem.
    """
    environment = run.environment.model_dump(mode="json")
    facts = {name: environment[name] for name in _FACTS if environment.get(name) not in (None, "", [], {})}
    charts = find_system(run.environment.system).charts
    context = ChartContext(run.slos, run.load_end_s)
    drawn = (
        draw_charts(charts, run.main, result.faults, result.gates, context)
        if charts
        else objective_charts(run, result)
    )
    figures = [
        *drawn,
        *draw_processors(run.main, result.faults, context),
        *draw_arrivals(run.main, result.faults, context),
    ]
    return run_page(result, figures, facts, arm_charts(run, result))


def run_page(
    result: ExperimentResult,
    charts: Iterable[Figure],
    facts: Mapping[str, Any],
    below_arms: Sequence[Figure] = (),
    index: str = "../index.html",
) -> str:
    """The page of one run.

    `facts`: what else is known of the run, such as versions. `below_arms`: charts that compare the arms.
    """
    compared, _ = _render(below_arms)
    drawn, left_out = _render(charts)
    invariants = held_invariants(result.gates)
    return _page(
        "run.html.j2",
        result=result,
        problems=problems(result),
        gates=[gate for gate in result.gates if gate not in invariants],
        invariants=invariants,
        passed=Verdict.PASSED,
        compared=compared,
        charts=drawn,
        left_out=left_out,
        exposure_names=_exposure_names(result),
        environment=[(name, _text(value)) for name, value in facts.items()],
        index=index,
    )


def index_page(
    results: Sequence[ExperimentResult],
    reports: Path,
    about: Sequence[tuple[str, str]] = (),
    pooled: Sequence[PooledResult] = (),
) -> str:
    """The page of a suite, with links to the runs' pages relative to `reports`.

    `about`: what else there is to know of the suite, as label and text (when, with what, by which command).
    """
    verdict = worst(result.verdict for result in counted_results(results, pooled))
    passed = sum(result.verdict is Verdict.PASSED for result in results)
    ordered = sorted(results, key=lambda result: ORDER.index(result.verdict))
    rows = [(result, run_link(result, reports)) for result in ordered]
    return _page(
        "index.html.j2",
        results=rows,
        pooled=sorted(pooled, key=lambda result: ORDER.index(result.verdict)),
        verdict=verdict,
        passed=Verdict.PASSED,
        meaning=f"{formatting.MEANINGS[verdict][0].upper()}{formatting.MEANINGS[verdict][1:]}.",
        about=about,
        summary=f"{passed} of {plural(len(results), 'run')} passed",
    )


def _page(template: str, **values: Any) -> str:
    return escape_controls(page_environment().get_template(template).render(**values), keep="\n\t")


def run_link(result: ExperimentResult, directory: Path) -> str:
    """From a page in a directory to the page of a run."""
    return Path(os.path.relpath(Path(result.run) / RUN_PAGE, directory)).as_posix()


def _render(found: Iterable[Figure]) -> tuple[list[tuple[Markup, Figure]], int]:
    charts: list[tuple[Markup, Figure]] = []
    size = left_out = 0
    for figure in found:
        svg = render(figure)
        if size + len(svg) > MAX_CHARTS_BYTES:
            left_out += 1
            continue
        size += len(svg)
        charts.append((svg, figure))
    return charts, left_out


def _exposure_names(result: ExperimentResult) -> list[str]:
    """The counts that are above zero for any fault; if none is, all of them."""
    names = [field.name for field in fields(Effects)]
    affected = [
        name for name in names if any(getattr(fault.exposure.counted, name) for fault in result.faults)
    ]
    return affected or names


def _hosts(names: Sequence[str]) -> Markup:
    """All of the targets, each host's name in one piece; lines may break between them."""
    parts = re.split(r"(, | > )", ", ".join(names))
    return Markup("").join(
        Markup('<span class="whole">{}</span>').format(part) if index % 2 == 0 else part
        for index, part in enumerate(parts)
    )


def _interval(gate: GateResult) -> Markup:
    if gate.interval is None or gate.value is None:
        return Markup("")
    return draw_interval(
        *gate.interval, gate.value, gate.threshold, above=formatting.threshold_sign(gate) == "≥"
    )


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        text = ", ".join(f"{name} {_text(item)}" for name, item in value.items())
    elif isinstance(value, list | tuple):
        text = ", ".join(_text(item) for item in value)
    else:
        text = str(value)
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}..."


@functools.cache
def page_environment(*more: Path) -> Environment:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader((TEMPLATES, *more)), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.globals.update(
        style=Markup((TEMPLATES / "style.css").read_text(encoding="utf-8")),
        failed=Verdict.FAILED,
        describe_arm_gate=formatting.describe_arm_gate,
        hosts=_hosts,
        meanings=formatting.MEANINGS,
        symbols=formatting.SYMBOLS,
        word=formatting.verdict_word,
        columns=GATE_COLUMNS,
        formatting=formatting,
        plural=plural,
        interval=_interval,
    )
    return environment
