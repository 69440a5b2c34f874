"""The charts beside the arms, from real runs of the toy system."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from harness.report.slo_charts import arm_charts, objective_charts
from harness.report.suite import recorded_results
from harness.report.svg import Figure, render
from harness.verdict.model import ExperimentResult
from harness.verdict.recorded import RecordedRun
from tests.cli.support import BACKEND_LOST, UNTOUCHED, call, write_suite

ARMS = """\
arms:
  - {without: [gateway.retry, gateway.fallback], must: breach, slo: answered}
  - {without: gateway.retry, must: hold, slo: answered}
  - {without: gateway.fallback, must: hold, slo: quick}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ExperimentResult]:
    text = BACKEND_LOST.split("arms:")[0]
    suite = write_suite(tmp_path_factory.mktemp("toy"), backend_lost=f"{text}{ARMS}drain: 20s\n")
    called = call("run", suite, "--jobs", 1, "--reports", suite.parent / "reports")
    assert called.code in (0, 1, 2), called.err
    (result,) = recorded_results(suite.parent / "reports" / "latest")
    return Path(result.run), result


@pytest.fixture(scope="module")
def drawn(run: tuple[Path, ExperimentResult]) -> tuple[Figure, ...]:
    directory, result = run
    with RecordedRun(directory) as recorded_run:
        return arm_charts(recorded_run, result)


def test_arms_of_one_slo_share_a_figure(drawn: tuple[Figure, ...]) -> None:
    assert [[series.name for series in figure.series] for figure in drawn] == [
        ["with all safeguards", "without gateway.retry, gateway.fallback", "without gateway.retry"],
        ["with all safeguards", "without gateway.fallback"],
    ]
    assert [figure.title.split(",")[0] for figure in drawn] == ["answered", "quick"]


def test_a_share_is_drawn_as_bad_rows_counted_up(
    run: tuple[Path, ExperimentResult], drawn: tuple[Figure, ...]
) -> None:
    directory, result = run
    with_all, without_both, _ = drawn[0].series
    (arm,) = directory.glob("arms/*retry-gateway.fallback")
    query = f"SELECT count(*) FROM '{arm / 'visits.parquet'}' WHERE NOT ok"
    (bad,) = duckdb.connect().execute(query).fetchall()
    assert with_all.line[-1][1] == 0
    assert without_both.line[-1][1] == bad[0] > 0
    counts = [count for _, count in without_both.line]
    assert counts == sorted(counts)
    (fault,) = result.faults
    assert fault.applied_at_s is not None
    first = next(t for t, count in without_both.line if count > 0)
    assert fault.applied_at_s < first
    assert f"0 with all safeguards, {bad[0]} without gateway.retry, gateway.fallback" in drawn[0].note


def test_a_percentile_is_drawn_with_its_limit(drawn: tuple[Figure, ...]) -> None:
    assert drawn[1].threshold == (2.0, "threshold ≤ 2 s")
    assert all(0 < value < 2 for series in drawn[1].series for _, value in series.line)
    assert "95th percentile" in drawn[1].note


def test_faults_are_shaded_and_the_page_has_them(
    run: tuple[Path, ExperimentResult], drawn: tuple[Figure, ...]
) -> None:
    assert [(band.start_s, band.end_s) for band in drawn[0].bands] == [(5.0, 10.0)]
    page = (run[0] / "report.html").read_text(encoding="utf-8")
    for figure in drawn:
        assert str(render(figure)) in page


def test_a_system_without_charts_gets_those_of_its_slos(run: tuple[Path, ExperimentResult]) -> None:
    directory, result = run
    with RecordedRun(directory) as recorded_run:
        figures = objective_charts(recorded_run, result)
    assert [figure.title for figure in figures] == ["answered", "quick"]
    assert all(figure.bands and figure.series[0].line for figure in figures)
    page = (directory / "report.html").read_text(encoding="utf-8")
    assert all(str(render(figure)) in page for figure in figures)


def test_without_arms_there_is_nothing_to_compare(tmp_path: Path) -> None:
    suite = write_suite(tmp_path, untouched=UNTOUCHED)
    call("run", suite, "--jobs", 1, "--reports", tmp_path / "reports")
    (result,) = recorded_results(tmp_path / "reports" / "latest")
    with RecordedRun(Path(result.run)) as recorded_run:
        assert arm_charts(recorded_run, result) == ()
