"""The files of a parity result: `parity.json`, and one self-contained HTML page."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from harness.gates.result import Verdict
from harness.history.write import json_text
from harness.parity.model import Comparison, Distribution, ExperimentParity, Outcome, ParityResult
from harness.parity.text import MARKS, MEANINGS, difference_text, summarize, threshold_text, value_text
from harness.report.pages import RUN_PAGE, page_environment
from harness.verdict.model import ExperimentResult


@dataclass(frozen=True, slots=True)
class _Experiment:
    name: str
    seed: int
    verdict: Verdict
    agree: bool
    comparisons: tuple[Comparison, ...]
    distributions: tuple[Distribution, ...]
    errors: tuple[str, ...]
    sim: ExperimentResult
    live: ExperimentResult


@dataclass(frozen=True, slots=True)
class _Document:
    verdict: Verdict
    exit_code: int
    agree: bool
    directory: str
    left_out: tuple[str, ...]
    experiments: tuple[_Experiment, ...]


_ADAPTER = TypeAdapter(_Document)


def parity_document(result: ParityResult) -> dict[str, Any]:
    """`{"verdict", "exit_code", "agree", "directory", "left_out", "experiments": [...]}`, of plain JSON values only."""
    document: dict[str, Any] = _ADAPTER.dump_python(
        _Document(
            verdict=result.verdict,
            exit_code=result.exit_code,
            agree=bool(result.experiments) and all(one.agree for one in result.experiments),
            directory=str(result.directory),
            left_out=result.left_out,
            experiments=tuple(map(_experiment, result.experiments)),
        ),
        mode="json",
    )
    return document


def _experiment(one: ExperimentParity) -> _Experiment:
    return _Experiment(
        name=one.sim.name,
        seed=one.sim.seed,
        verdict=one.verdict,
        agree=one.agree,
        comparisons=one.comparisons,
        distributions=one.distributions,
        errors=one.errors,
        sim=one.sim,
        live=one.live,
    )


PARITY_JSON = "parity.json"
PARITY_PAGE = "parity.html"


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
            pairs=[(one, *_links(one, result.directory)) for one in result.experiments],
            summarize=summarize,
            value_text=value_text,
            threshold_text=threshold_text,
            difference_text=difference_text,
            marks=MARKS,
            not_compared=Outcome.NOT_COMPARED,
            outside=Outcome.OUTSIDE,
        )
    )


def _links(one: ExperimentParity, directory: Path) -> tuple[str, str]:
    """To the page of the run in virtual time, and of the live one."""
    sim, live = (
        Path(os.path.relpath(Path(run.run) / RUN_PAGE, directory)).as_posix() for run in (one.sim, one.live)
    )
    return sim, live
