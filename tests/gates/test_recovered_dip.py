"""A recovered gate needs something to recover from."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.engine.suite import run_suite
from harness.gates.result import Verdict
from tests.engine.support import experiment_text, load

RECOVERED = "- {recovered: success, within: 4s}"


@pytest.mark.parametrize(("fault", "verdict"), [(True, Verdict.PASSED), (False, Verdict.INCONCLUSIVE)])
def test_what_never_dips_does_not_recover(tmp_path: Path, fault: bool, verdict: Verdict) -> None:
    """The backends of one zone crash: with the safeguards nobody notices, without them visits fail."""
    (one,) = load(tmp_path, experiment_text(gates=RECOVERED, arms="", arrive="6/s"))
    without = ["gateway.retry", "gateway.fallback"] if fault else []
    (result,) = run_suite([one], seeds=[1], jobs=1, reports=tmp_path / "r", without=without).results
    assert result.gates[0].verdict is verdict, result.reason
