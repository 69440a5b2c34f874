"""The JSON document of a suite, as `--json` prints it, `verdict.json` holds it and CI reads it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from harness.errors import HarnessError
from harness.gates.result import Verdict
from harness.verdict.model import ExperimentResult, PooledResult


class DocumentError(HarnessError):
    """The JSON is not a verdict document."""


@dataclass(frozen=True, slots=True)
class _Suite:
    verdict: Verdict
    exit_code: int
    experiments: tuple[ExperimentResult, ...]


_SUITE = TypeAdapter(_Suite)
_EXPERIMENTS = TypeAdapter(tuple[ExperimentResult, ...])
_POOLED = TypeAdapter(tuple[PooledResult, ...])
_EXPERIMENT = TypeAdapter(ExperimentResult)


def suite_document(
    results: Iterable[ExperimentResult],
    verdict: Verdict,
    exit_code: int,
    pooled: Sequence[PooledResult] = (),
) -> dict[str, Any]:
    """`{"verdict", "exit_code", "experiments": [...]}`, of plain JSON values only; "pooled" where seeds were pooled."""
    document: dict[str, Any] = _SUITE.dump_python(_Suite(verdict, exit_code, tuple(results)), mode="json")
    if pooled:
        document["pooled"] = _POOLED.dump_python(tuple(pooled), mode="json")
    return document


def experiment_document(result: ExperimentResult) -> dict[str, Any]:
    document: dict[str, Any] = _EXPERIMENT.dump_python(result, mode="json")
    return document


def results_of(document: Mapping[str, Any]) -> tuple[ExperimentResult, ...]:
    """The results that a document was made from. Raises DocumentError for what is not such a document."""
    try:
        return _EXPERIMENTS.validate_python(document.get("experiments"))
    except ValidationError as error:
        raise DocumentError(f"not a verdict document: {error}") from error
