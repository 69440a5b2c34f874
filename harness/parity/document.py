"""A parity result as one JSON document."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from harness.gates.result import Verdict
from harness.parity.distributions import Distribution
from harness.parity.model import Comparison, ExperimentParity, ParityResult
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
