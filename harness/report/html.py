"""One self-contained HTML page a run, and an index of the suite: no script, no request, works from file://.

The page never grows beyond `PAGE_BYTES_MOST`: points are thinned first (see `downsample`), then whole charts
are left out from the end, with a line that says so.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from harness.gates.result import GateResult, Verdict, worst
from harness.report import formatting as words
from harness.report.chart_context import Asked
from harness.report.charts import NOTHING_ASKED, Tables, figures
from harness.report.problems import ORDER, problems
from harness.report.svg import Figure, interval, render
from harness.verdict.model import ExperimentResult

if TYPE_CHECKING:
    from jinja2 import Environment

PAGE_BYTES_MOST = 1_500_000
CHARTS_BYTES_MOST = 1_000_000
TEXT_MOST = 2_000
TEMPLATES = Path(__file__).parent / "templates"


def run_page(
    result: ExperimentResult,
    tables: Tables | None,
    environment: Mapping[str, Any],
    comparisons: Sequence[Figure] = (),
    index: str = "../index.html",
    asked: Asked = NOTHING_ASKED,
) -> str:
    """The page of one run. `tables` None: there is no history to draw (the page says so).

    `comparisons` are drawn beside the arms. `asked`: which percentile and which load the charts show.
    """
    found = figures(tables, result.faults, result.gates, asked) if tables is not None else ()
    compared, _ = _charts(comparisons)
    charts, left_out = _charts(found)
    return (
        page_environment()
        .get_template("run.html.j2")
        .render(
            result=result,
            problems=problems(result),
            stated=[gate for gate in result.gates if not _calm(gate)],
            calm=[gate for gate in result.gates if _calm(gate)],
            passed=Verdict.PASSED,
            compared=compared,
            charts=charts,
            left_out=left_out,
            no_charts="The history holds no rows to draw."
            if tables is not None
            else "There is no history to draw.",
            exposure_names=_exposure_names(result),
            environment=[(name, _text(value)) for name, value in environment.items()],
            index=index,
        )
    )


def index_page(
    results: Sequence[ExperimentResult], reports: Path, about: Sequence[tuple[str, str]] = ()
) -> str:
    """The page of a suite, with links to the runs' pages relative to `reports`.

    `about`: what else there is to know of the suite, as label and text (when, with what, by which command).
    """
    verdict = worst(result.verdict for result in results)
    passed = sum(result.verdict is Verdict.PASSED for result in results)
    ordered = sorted(results, key=lambda result: ORDER.index(result.verdict))
    rows = [(result, _link(result, reports)) for result in ordered]
    return (
        page_environment()
        .get_template("index.html.j2")
        .render(
            results=rows,
            verdict=verdict,
            passed=Verdict.PASSED,
            meaning=f"{words.MEANINGS[verdict][0].upper()}{words.MEANINGS[verdict][1:]}.",
            about=about,
            summary=f"{passed} of {len(results)} run{'' if len(results) == 1 else 's'} passed",
        )
    )


def _link(result: ExperimentResult, reports: Path) -> str:
    return Path(os.path.relpath(Path(result.run) / "report.html", reports)).as_posix()


def _charts(found: Iterable[Figure]) -> tuple[list[tuple[Markup, Figure]], int]:
    charts: list[tuple[Markup, Figure]] = []
    size = left_out = 0
    for figure in found:
        svg = render(figure)
        if size + len(svg) > CHARTS_BYTES_MOST:
            left_out += 1
            continue
        size += len(svg)
        charts.append((svg, figure))
    return charts, left_out


def _calm(gate: GateResult) -> bool:
    """An invariant that holds: they are many, and all say the same."""
    return gate.kind == "invariant" and gate.verdict is Verdict.PASSED


def _exposure_names(result: ExperimentResult) -> list[str]:
    """What any of the faults has touched; of nothing touched, all that is counted."""
    names = dict.fromkeys(name for fault in result.faults for name in fault.exposure)
    touched = [name for name in names if any(fault.exposure.get(name) for fault in result.faults)]
    return touched or list(names)


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
    return interval(*gate.interval, gate.value, gate.threshold, above=words.limit_sign(gate) == "≥")


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        text = ", ".join(f"{name} {_text(item)}" for name, item in value.items())
    elif isinstance(value, list | tuple):
        text = ", ".join(_text(item) for item in value)
    else:
        text = str(value)
    return text if len(text) <= TEXT_MOST else f"{text[:TEXT_MOST]}..."


@functools.cache
def page_environment(*more: Path) -> Environment:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader((TEMPLATES, *more)), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.globals.update(
        style=Markup((TEMPLATES / "style.css").read_text(encoding="utf-8")),
        failed=Verdict.FAILED,
        arm_told=words.arm_told,
        hosts=_hosts,
        meanings=words.MEANINGS,
        symbols=words.SYMBOLS,
        word=words.verdict_word,
        words=words,
        interval=_interval,
    )
    return environment
