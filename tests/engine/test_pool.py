"""Suites with several seeds: one verdict over all of them, and seeds that are added until it is decided."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from harness.engine.judge import judge_pool
from harness.engine.suite import Pooling, run_suite
from harness.gates.result import Verdict
from harness.report.registry import open_reporters
from harness.verdict.pool import is_decided
from tests.engine.support import experiment_text, load

QUICK = {"timeline": "", "arms": "", "load_for": "5s", "gates": "- {slo: success}"}
"""About 15 shoppers, too few for a target of 90 %."""


def test_undecided_seeds_are_decided_together(tmp_path: Path) -> None:
    """The suite passes, and every report says so: no run that is undecided by itself makes CI red."""
    loaded = load(tmp_path, experiment_text("small", **QUICK), experiment_text("other", **QUICK))
    with open_reporters(["junit", "json", f"html={tmp_path / 'index.html'}"], {}, defaults=[]) as reporters:
        finished = run_suite(
            loaded, seeds=[3, 1, 2, 5], jobs=1, reports=tmp_path / "reports", handlers=reporters.handlers
        )
    assert {result.verdict for result in finished.results} == {Verdict.INCONCLUSIVE}
    assert [(one.name, one.seeds, one.verdict) for one in finished.pooled] == [
        ("small", (3, 1, 2, 5), Verdict.PASSED),
        ("other", (3, 1, 2, 5), Verdict.PASSED),
    ]
    assert (finished.verdict, finished.exit_code) == (Verdict.PASSED, 0)
    gate = finished.pooled[0].gates[0]
    assert gate.samples == sum(result.gates[0].samples for result in finished.results[:4])
    assert judge_pool(finished.results[:4]) == finished.pooled[0]
    root = ET.parse(Path(finished.reports) / "junit.xml").getroot()
    assert (root.get("failures"), root.get("errors"), root.get("skipped")) == ("0", "0", "8")
    assert "4 seeds pooled, 95% confidence" in (tmp_path / "index.html").read_text(encoding="utf-8")


def test_one_seed_has_no_pool(tmp_path: Path) -> None:
    finished = run_suite(
        load(tmp_path, experiment_text(**QUICK)), seeds=[1], jobs=1, reports=tmp_path / "reports"
    )
    assert finished.pooled == ()
    assert finished.verdict is Verdict.INCONCLUSIVE


def test_arms_are_pooled(tmp_path: Path) -> None:
    text = experiment_text(load_for="12s", arrive="2/s", gates="- {slo: success}")
    finished = run_suite(load(tmp_path, text), seeds=[1, 2], jobs=2, reports=tmp_path / "reports")
    (pool,) = finished.pooled
    (arm,) = pool.arms
    assert arm.verdict is Verdict.PASSED
    assert arm.gates[0].samples == sum(result.arms[0].gates[0].samples for result in finished.results)
    assert pool.faults[0].exposure.connections == sum(
        result.faults[0].exposure.connections for result in finished.results
    )


@pytest.mark.parametrize("jobs", [1, 2])
def test_seeds_are_added_until_each_gate_is_decided(tmp_path: Path, jobs: int) -> None:
    loaded = load(tmp_path, experiment_text("small", **QUICK))
    finished = run_suite(
        loaded,
        seeds=range(1, 33),
        jobs=jobs,
        reports=tmp_path / "reports",
        pooling=Pooling(until_decided=True),
    )
    (pool,) = finished.pooled
    assert pool.verdict is finished.verdict is Verdict.PASSED
    assert pool.looks == 6
    # Bounds of each look are wider than 95 %, as there may be six.
    assert pool.gates[0].confidence == pytest.approx(1 - 2 * 0.05 / 6)
    assert len(finished.results) == len(pool.seeds)
    assert len(pool.seeds) in (4, 8)
    assert not is_decided(judge_pool(finished.results[: len(pool.seeds) // 2], looks=6))


def test_at_the_maximum_it_says_what_is_missing(tmp_path: Path) -> None:
    loaded = load(tmp_path, experiment_text("small", **QUICK))
    finished = run_suite(
        loaded, seeds=[1, 2], jobs=1, reports=tmp_path / "reports", pooling=Pooling(until_decided=True)
    )
    (pool,) = finished.pooled
    assert (pool.verdict, finished.exit_code, pool.seeds) == (Verdict.INCONCLUSIVE, 2, (1, 2))
    assert pool.gates[0].needs is not None
    assert any("more seeds" in note for note in pool.notes)


def test_a_broken_seed_is_not_outvoted(tmp_path: Path) -> None:
    """The run directory of one seed is changed before all of them are judged."""
    finished = run_suite(
        load(tmp_path, experiment_text(**QUICK)), seeds=[1, 2, 3, 4], jobs=1, reports=tmp_path / "reports"
    )
    broken = run_suite(
        load(tmp_path, experiment_text(**QUICK)),
        seeds=[1, 2],
        jobs=1,
        reports=tmp_path / "reports",
        suite_budget_s=1e-9,
    )
    pool = judge_pool([*finished.results[:3], broken.results[1]])
    assert pool.verdict is Verdict.ERROR
    assert pool.reason.startswith("seed 2: ")
    assert broken.pooled[0].verdict is broken.verdict is Verdict.ERROR
