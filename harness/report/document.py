"""The one JSON document of a suite, as `--json` prints it and CI reads it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from harness.verdict.model import ArmResult, ExperimentResult, FaultResult, GateResult, Verdict


def suite_document(results: Iterable[ExperimentResult], verdict: Verdict, exit_code: int) -> dict[str, Any]:
    """`{"verdict", "exit_code", "experiments": [...]}`; plain values only, no NaN."""
    return {
        "verdict": verdict.value,
        "exit_code": exit_code,
        "experiments": [experiment_document(result) for result in results],
    }
