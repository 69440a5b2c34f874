"""Several seeds on the command line: the pooled verdict, `--until-decided`, `harness judge` of runs, error budgets."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.support import Called, call
from tests.engine.support import experiment_text, write

SLO = """
success:
  protects: visits are answered
  table: visits
  good: ok
  target: 90%
soon:
  protects: visits are answered at once
  table: visits
  value: latency_s
  percentile: 90
  at_most: 20ms
"""
TEXT = experiment_text(timeline="", arms="", load_for="5s", gates="- {slo: success}\n- {slo: soon}")


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pool") / "reports"


@pytest.fixture(scope="module")
def called(reports: Path) -> Called:
    (file,) = write(reports.parent, TEXT, slos=SLO)
    return call("run", file, "--jobs", 1, "--seeds", "1-3,6", "--reports", reports)


def runs(reports: Path) -> list[Path]:
    return sorted((reports / "latest").resolve().glob("*.seed*"))


def test_the_table_has_the_gates_of_all_seeds(called: Called) -> None:
    assert called.code == 1
    assert "backend-lost FAILED  4 seeds pooled, 95% confidence" in called.out
    assert called.out.count(" success ") == 1
    assert "✗ FAILED         backend-lost (4 seeds): soon" in called.out
    assert called.out.rstrip().splitlines()[-1].startswith("✗ FAILED  over all seeds 1 failed; runs: ")


def test_judge_repeats_the_pool(called: Called, reports: Path) -> None:
    judged = call("judge", *runs(reports), "--json")
    assert judged.code == called.code
    (pool,) = judged.document["pooled"]
    assert (pool["verdict"], pool["seeds"], pool["looks"]) == ("failed", [1, 2, 3, 6], 1)
    assert pool["gates"][0]["samples"] == sum(
        one["gates"][0]["samples"] for one in judged.document["experiments"]
    )
    first = runs(reports)[0]
    assert call("judge", first, first).code == 4


def test_runs_of_another_experiment_are_not_pooled(called: Called, reports: Path, tmp_path: Path) -> None:
    (file,) = write(tmp_path, TEXT.replace("for: 5s", "for: 6s"), slos=SLO)
    assert call("run", file, "--seed", 9, "--jobs", 1, "--reports", tmp_path / "r").code in (1, 2)
    judged = call("judge", runs(reports)[0], runs(tmp_path / "r")[0])
    assert judged.code == 4
    assert "cannot be judged together" in judged.err


def test_until_decided_stops_at_the_maximum_and_says_what_it_takes(reports: Path, called: Called) -> None:
    file = reports.parent / "0.chaos.yaml"
    arguments = ("run", file, "--jobs", 1, "--until-decided", "--reports", reports.parent / "few")
    ended = call(*arguments, "--max-seeds", 2, "--confidence", "99%", "--json")
    (pool,) = ended.document["pooled"]
    assert (pool["confidence"], pool["looks"], pool["seeds"]) == (0.99, 2, [1, 2])
    assert pool["gates"][0]["verdict"] == "inconclusive"
    assert any("more seed" in note for note in pool["notes"])
    assert pool["replay"].endswith("--confidence 99.5%")
    judged = call("judge", *runs(reports.parent / "few"), "--confidence", "99.5%", "--json")
    assert judged.document["pooled"][0]["gates"] == pool["gates"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--seeds", "3-1"), "--seeds 3-1: expected a whole number, 1 or more, a range"),
        (("--seeds", "1,1"), "--seeds 1,1: "),
        (("--seeds", "all"), "--seeds all: "),
        (("--max-seeds", "3"), "--max-seeds needs --until-decided"),
        (("--confidence", "95"), "--confidence: "),
        (("--confidence", "100%"), "--confidence 100%: must be > 50% and < 100%"),
    ],
)
def test_options_that_make_no_sense(
    arguments: tuple[str, ...], said: str, reports: Path, called: Called
) -> None:
    refused = call("run", reports.parent / "0.chaos.yaml", *arguments, "--reports", reports.parent / "none")
    assert refused.code == 4
    assert refused.err.startswith(said)


def test_the_error_budget_of_a_month_counts_each_history_once(called: Called, reports: Path) -> None:
    spent = call("budget", reports, runs(reports)[0], "--json")
    assert spent.code == 1
    success, soon = sorted(spent.document["budgets"], key=lambda one: -one["left"])
    assert (success["slo"], success["runs"], success["used"]) == ("success", 4, 0)
    assert success["allowed"] == pytest.approx(0.1 * success["samples"])
    assert soon["slo"] == "soon"
    assert soon["left"] < 0
    assert soon["experiments"][0]["experiment"] == "backend-lost"
    assert [line.split()[0] for line in call("budget", reports).out.splitlines()] == [
        "SLO",
        "soon",
        "backend-lost",
        "success",
        "backend-lost",
    ]
    assert call("budget", reports, "--since", "9999-01-01").code == 5


def test_an_altered_run_is_left_out_and_makes_the_account_incomplete(tmp_path: Path) -> None:
    text = experiment_text(timeline="", arms="", load_for="5s", gates="- {slo: success}")
    (file,) = write(tmp_path, text, slos=SLO)
    call("run", file, "--jobs", 1, "--seeds", 2, "--reports", tmp_path / "reports")
    (runs(tmp_path / "reports")[0] / "visits.parquet").write_bytes(b"")
    spent = call("budget", tmp_path / "reports", "--json")
    assert (spent.code, spent.document["runs"], len(spent.document["left_out"])) == (2, 1, 1)
