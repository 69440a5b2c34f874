from __future__ import annotations

import json
from typing import Any

import pytest

from harness.gates.result import EXIT_CODES, Verdict
from harness.verdict.document import DocumentError, results_of, suite_document
from tests.report.samples import ERROR, FAILED, INCONCLUSIVE, PASSED

ALL = (PASSED, FAILED, INCONCLUSIVE, ERROR)


def test_the_document_of_a_suite() -> None:
    document = suite_document(ALL, Verdict.ERROR, EXIT_CODES[Verdict.ERROR])
    assert (document["verdict"], document["exit_code"]) == ("error", 3)
    first = document["experiments"][0]
    assert first["name"] == "edge-appliance-loss"
    assert first["gates"][0]["interval"] == [0.9991, 0.9998]
    assert first["faults"][0]["exposure"]["connections"] == 41
    assert first["arms"][0]["gates"][0]["verdict"] == "failed"
    assert {
        "name",
        "verdict",
        "seed",
        "run",
        "history_sha256",
        "replay",
        "gates",
        "faults",
        "arms",
    } <= first.keys()
    assert {"name", "verdict", "value", "interval", "threshold", "samples"} <= first["gates"][0].keys()


def test_there_and_back_through_json() -> None:
    document = json.loads(json.dumps(suite_document(ALL, Verdict.ERROR, 3), allow_nan=False))
    assert results_of(document) == ALL


@pytest.mark.parametrize(
    "wrong", [{}, {"experiments": [{}]}, {"experiments": [{"verdict": "fine"}]}, {"experiments": None}]
)
def test_what_is_no_document(wrong: dict[str, Any]) -> None:
    with pytest.raises(DocumentError, match="not a verdict document"):
        results_of(wrong)
