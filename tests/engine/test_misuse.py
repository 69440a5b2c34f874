"""A misuse of the host is an error of the run, whatever the code that did it makes of it."""

from __future__ import annotations

from pathlib import Path

from harness.engine.arm import run_arm
from harness.engine.plan import make_plan
from harness.sim.runtime import SimRuntime
from tests.engine.support import experiment_text, load
from tests.support import misuse_system


def test_a_misuse_that_the_service_hides_is_a_failure(tmp_path: Path) -> None:
    text = experiment_text(arms="").replace("toy_system", "misuse_system")
    (loaded,) = load(tmp_path, text)
    planned = make_plan(loaded, 1)
    metadata = run_arm(SimRuntime(), loaded.system, planned, planned.arms[0], lambda event: None).metadata
    misuse_system.check_failures(list(metadata.failures))
    (crash,) = metadata.faults
    assert crash.applied_at_s is not None
    for failure in metadata.failures[len(misuse_system.BY_CLIENTS) :]:
        at_s = float(failure.partition(" at ")[2].partition(" s: ")[0])
        assert crash.applied_at_s <= at_s < crash.applied_at_s + 2
