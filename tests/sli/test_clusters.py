"""Effective counts: by hand, and how often verdicts are wrong where rows of one client depend on each other."""

from __future__ import annotations

import pytest

from harness.sli.clusters import Counts, chance_of_difference
from tests.benchmarks.verdict_errors import Setting, settings, wrong_differences, wrong_verdicts

RUNS = 400
TOLERATED = 0.05 + 3 * (0.05 * 0.95 / RUNS) ** 0.5


def test_one_row_a_cluster_is_every_row() -> None:
    assert Counts(300, 3, 300, 300, 3, 3).effective == 300


def test_without_a_bad_row_the_clusters_count() -> None:
    assert Counts(1000, 0, 20, 50_000, 0, 0).effective == pytest.approx(20, rel=0.1)
    assert Counts(1000, 0, 20, 50_000, 0, 0).effective <= 20


def test_one_cluster_shows_nothing() -> None:
    assert Counts(1000, 0, 1, 1_000_000, 0, 0).bounds == (0.0, 1.0)


def test_difference_by_hand() -> None:
    """Fisher's tea: 3 of 4 against 1 of 4, and 4 of 4 against none."""
    tea = [Counts(4, bad, 4, 4, bad, bad) for bad in range(5)]
    assert chance_of_difference(tea[3], tea[1]) == pytest.approx(17 / 70)
    assert chance_of_difference(tea[4], tea[0]) == pytest.approx(1 / 70)
    assert chance_of_difference(tea[0], tea[4]) == 1.0


@pytest.mark.parametrize("setting", [*settings(clients=(60,))], ids=str)
def test_verdicts_are_wrong_in_at_most_five_percent_of_runs(setting: Setting) -> None:
    wrong_pass, wrong_fail = wrong_verdicts(setting, RUNS)
    assert wrong_pass <= TOLERATED
    assert wrong_fail <= TOLERATED


@pytest.mark.parametrize("correlation", [0.0, 0.4, 1.0])
def test_arms_differ_by_chance_in_at_most_five_percent_of_runs(correlation: float) -> None:
    assert wrong_differences(Setting(60, 8, 0.1, correlation), RUNS) <= TOLERATED
