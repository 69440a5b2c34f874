"""The charts that a system declares: their series, their checks, and what is said where there is nothing to draw."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from harness.diagnostics import Code
from harness.history.columns import TableError
from harness.history.expressions import check_tables
from harness.history.read import History
from harness.report.chart_series import ChartContext
from harness.report.charts import draw_arrivals, draw_charts, slice_of
from harness.report.svg import Figure, render
from harness.sli.percentile import PercentileSlo
from harness.system import Chart, StateChart, System, Topology
from harness.verdict.model import FaultResult
from systems.streaming.charts import CHARTS
from systems.streaming.system import system as streaming_system
from tests.report.samples import CRASH, PASSED, STARTUP
from tests.report.support import write_streaming_history, write_table


@pytest.fixture
def streaming(tmp_path: Path) -> Iterator[History]:
    with write_streaming_history(tmp_path) as history:
        yield history


def draw(
    history: History, *charts: Chart | StateChart, faults: tuple[FaultResult, ...] = ()
) -> dict[str, Figure]:
    return {figure.title: figure for figure in draw_charts(charts or CHARTS, history, faults)}


def test_a_run_has_the_charts_that_its_system_declares_in_their_order(streaming: History) -> None:
    figures = draw_charts(CHARTS, streaming, PASSED.faults, PASSED.gates)
    assert [figure.title for figure in figures if figure.kind != "text"] == [
        "Startup time",
        "Good answers (requests)",
        "Delivered bitrate",
        "Stalls",
        "Breaker states",
        "Latency (requests)",
    ]


def test_what_was_not_recorded_is_said_not_left_out(streaming: History) -> None:
    assert "cannot be drawn" in draw(streaming)["Latency (served)"].note


def test_strips_of_states_follow_the_changes(streaming: History) -> None:
    (timeline,) = draw(streaming)["Breaker states"].timelines
    assert timeline.name == "gateway-1 recommender"
    assert [(span.start_s, span.state, span.level) for span in timeline.spans] == [
        (0.0, "closed", "ok"),
        (62.0, "open", "bad"),
        (92.0, "half-open", "warn"),
        (93.0, "closed", "ok"),
    ]


def test_a_share_dips_where_the_history_has_failures(streaming: History) -> None:
    home = next(
        series for series in draw(streaming)["Good answers (requests)"].series if series.name == "home"
    )
    assert {t for t, share in home.line if share < 1} <= {t for t, _ in home.line if 56 <= t <= 124}
    assert min(share for _, share in home.line) < 1


def test_bands_are_where_the_faults_were(streaming: History) -> None:
    figure = draw(streaming, faults=(CRASH, replace(CRASH, applied_at_s=None)))["Startup time"]
    assert [(band.start_s, band.end_s) for band in figure.bands] == [(60.0, 120.0)]
    assert "crash edge-a-1" in render(figure)


def test_a_fault_never_undone_is_shaded_to_the_end(streaming: History) -> None:
    figure = draw(streaming, faults=(replace(CRASH, undone_at_s=None, name="power cut"),))["Startup time"]
    assert figure.bands[0].end_s == figure.end_s > 190
    assert ">power cut</text>" in render(figure)


def test_a_chart_has_the_percentile_and_the_threshold_of_its_slo(streaming: History) -> None:
    slo = PercentileSlo(
        protects="films start", table="sessions", value="startup_s", percentile=50, at_most="2s"
    )
    gate = replace(STARTUP, slo="startup-time")
    (half, *_) = draw_charts(CHARTS, streaming, (), (gate,), ChartContext({"startup-time": slo}))
    (usual, *_) = draw_charts(CHARTS, streaming, (), (gate,))
    assert "the 50th percentile" in half.note
    assert half.threshold == (2.0, "threshold of p50 ≤ 2 s")
    assert usual.threshold == (2.0, "threshold of p95 ≤ 2 s")
    assert "threshold of p95 ≤ 2 s" in render(usual)
    for below, above in zip(half.series, usual.series, strict=True):
        assert all(low <= high for (_, low), (_, high) in zip(below.line, above.line, strict=True))


def test_the_last_arrival_is_marked_where_the_run_goes_on(streaming: History) -> None:
    (drawn, *_) = draw_charts(CHARTS, streaming, (), (), ChartContext(load_end_s=150.0))
    (late, *_) = draw_charts(CHARTS, streaming, (), (), ChartContext(load_end_s=199.0))
    assert ">last arrivals</text>" in render(drawn)
    assert "last arrivals" not in render(late)


def test_what_never_failed_is_a_sentence(tmp_path: Path) -> None:
    with write_table(tmp_path, "visits", "SELECT i * 1.0 AS t_s, true AS ok FROM range(60) r(i)") as history:
        found = draw(
            history,
            Chart("Good", "visits", "share", "ok"),
            Chart("Late", "visits", "sum", "t_s", where="t_s > 100", empty="Nothing was late."),
            Chart("Never", "visits", "sum", "t_s", where="t_s > 100"),
        )
    assert [(figure.title, figure.kind, figure.note) for figure in found.values()] == [
        ("Good", "text", "100% all the time (all)."),
        ("Late", "text", "Nothing was late."),
    ]
    assert render(found["Good"]) == ""


def test_sums_and_means_are_of_the_slices(tmp_path: Path) -> None:
    sql = "SELECT i * 1.0 AS t_s, 2.0 AS size, i % 2 = 0 AS even FROM range(60) r(i)"
    with write_table(tmp_path, "visits", sql) as history:
        found = draw(
            history,
            Chart("Sum", "visits", "sum", "size", by="even", unit="count"),
            Chart("Mean", "visits", "mean", "size", by="even", unit="count"),
        )
    bars, mean = found["Sum"], found["Mean"]
    assert sum(y for _, y in bars.series[0].line) == 120
    assert "120 in all" in bars.note
    assert [series.name for series in mean.series] == ["false", "true"]
    assert all(y == 2 for series in mean.series for _, y in series.line)


def test_groups_without_a_colour_are_counted(tmp_path: Path) -> None:
    with write_table(
        tmp_path, "visits", "SELECT i * 0.1 AS t_s, i AS size, i % 10 AS shop FROM range(600) r(i)"
    ) as history:
        figure = draw(history, Chart("Size", "visits", "mean", "size", by="shop"))["Size"]
    assert len(figure.series) == 8
    assert "2 more groups are left out." in figure.note


def test_slices_of_time_are_round_so_that_faults_begin_one() -> None:
    assert [slice_of(end_s) for end_s in (20, 150, 180, 600, 3600)] == [0.5, 2.0, 2.5, 10.0, 60.0]


@dataclass(frozen=True, slots=True)
class Visit:
    t_s: float
    shop: str
    latency_s: float | None
    ok: bool


def check(*charts: Chart | StateChart) -> None:
    check_tables(System("toy", Topology((), (), ()), (), {"visits": Visit}, (), charts=charts))


def test_charts_that_fit_their_tables_are_valid() -> None:
    check_tables(streaming_system)
    check(
        Chart("Latency", "visits", "percentile", "latency_s", by="shop"),
        StateChart("States", "events", "fields->>'state'", by="host", initial="up"),
    )


@pytest.mark.parametrize(
    ("chart", "code", "part"),
    [
        (Chart("A", "visit", "mean", "latency_s"), Code.UNKNOWN_NAME, "did you mean 'visits'"),
        (Chart("A", "visits", "mean", "latency"), Code.BAD_EXPRESSION, "did you mean 'latency_s'"),
        (Chart("A", "visits", "mean", "shop"), Code.BAD_EXPRESSION, "chart 'A': value: "),
        (Chart("A", "visits", "share", "latency_s"), Code.BAD_EXPRESSION, "value: "),
        (Chart("A", "visits", "mean", "latency_s", by="town"), Code.BAD_EXPRESSION, "by: "),
        (Chart("A", "visits", "mean", "latency_s", where="latency_s"), Code.BAD_EXPRESSION, "where: "),
        (Chart("A", "visits", "mean", "latency_s", at="began_s"), Code.BAD_EXPRESSION, "at: "),
        (StateChart("A", "events", "state", by="host", initial="up"), Code.BAD_EXPRESSION, "value: "),
    ],
)
def test_a_chart_that_does_not_fit_is_an_error_that_says_why(
    chart: Chart | StateChart, code: Code, part: str
) -> None:
    with pytest.raises(TableError) as raised:
        check(chart)
    (problem,) = raised.value.diagnostics
    assert problem.code is code
    assert part in str(problem)


def test_two_charts_of_one_name_are_an_error() -> None:
    with pytest.raises(TableError) as raised:
        check(*[Chart("A", "visits", "mean", "latency_s")] * 2)
    assert [problem.code for problem in raised.value.diagnostics] == [Code.DUPLICATE]


def test_arrivals_are_drawn_over_time_where_they_are_recorded(tmp_path: Path, streaming: History) -> None:
    """A flash crowd: one client a second, and 20 in the fifth."""
    rows = "SELECT i * 1.0 AS t_s, i * 1.0 AS arrived_s FROM range(10) r(i) UNION ALL SELECT 5.0, 5.0 FROM range(19)"
    (tmp_path / "clients").mkdir()
    with write_table(tmp_path / "clients", "clients", rows) as history:
        (figure,) = draw_arrivals(history, (), ChartContext())
    (series,) = figure.series
    assert sum(count for _, count in series.line) == 29
    assert max(series.line, key=lambda point: point[1])[0] == pytest.approx(5.0)
    assert list(draw_arrivals(streaming, (), ChartContext())) == []
