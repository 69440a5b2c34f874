"""The files of a parity result: `parity.json`, and one self-contained HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic_core import to_jsonable_python

from harness.history.write import json_text
from harness.parity.model import Outcome, ParityResult
from harness.parity.text import MARKS, MEANINGS, difference_text, summarize, threshold_text, value_text
from harness.report.pages import page_environment, run_link

PARITY_JSON = "parity.json"
PARITY_PAGE = "parity.html"


def parity_document(result: ParityResult) -> dict[str, Any]:
    """`{"verdict", "exit_code", "agree", "directory", "left_out", "experiments": [...]}`, of plain JSON values only."""
    document: dict[str, Any] = to_jsonable_python(
        {
            "verdict": result.verdict,
            "exit_code": result.exit_code,
            "agree": bool(result.experiments) and all(one.agree for one in result.experiments),
            "directory": result.directory,
            "left_out": result.left_out,
            "experiments": [
                {
                    "name": one.sim.name,
                    "seed": one.sim.seed,
                    "verdict": one.verdict,
                    "agree": one.agree,
                    "comparisons": one.comparisons,
                    "distributions": one.distributions,
                    "errors": one.errors,
                    "sim": one.sim,
                    "live": one.live,
                }
                for one in result.experiments
            ],
        }
    )
    return document


def write_parity(result: ParityResult) -> None:
    """Write both files into the directory of both halves."""
    result.directory.mkdir(parents=True, exist_ok=True)
    document = json_text(parity_document(result))
    (result.directory / PARITY_JSON).write_text(document, encoding="utf-8")
    (result.directory / PARITY_PAGE).write_text(parity_page(result), encoding="utf-8")


def parity_page(result: ParityResult) -> str:
    """The page, with links to the pages of both runs."""
    return (
        page_environment(Path(__file__).parent / "templates")
        .get_template("parity.html.j2")
        .render(
            result=result,
            meaning=f"{MEANINGS[result.verdict][0].upper()}{MEANINGS[result.verdict][1:]}.",
            pairs=[
                (one, run_link(one.sim, result.directory), run_link(one.live, result.directory))
                for one in result.experiments
            ],
            summarize=summarize,
            value_text=value_text,
            threshold_text=threshold_text,
            difference_text=difference_text,
            marks=MARKS,
            not_compared=Outcome.NOT_COMPARED,
            outside=Outcome.OUTSIDE,
        )
    )
