from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import duckdb
import pytest

from harness.report import pages
from harness.report.chart_context import Asked
from harness.report.charts import figures, slice_of
from harness.report.pages import index_page, run_page
from harness.report.parquet import ParquetTables
from harness.report.svg import Band, Figure, Lane, Mark, Series, render
from harness.sli.percentile import PercentileSlo
from harness.verdict.model import ExperimentResult
from tests.report.samples import CRASH, ERROR, FAILED, INCONCLUSIVE, PASSED, STARTUP
from tests.report.support import write_plain_history, write_streaming_history


@pytest.fixture
def streaming(tmp_path: Path) -> Iterator[ParquetTables]:
    tables = ParquetTables(write_streaming_history(tmp_path))
    yield tables
    tables.close()


class Reader(HTMLParser):
    """Collects every attribute that could fetch something, and the visible text."""

    def __init__(self) -> None:
        super().__init__()
        self.fetches: list[str] = []
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "data", "action", "srcset", "poster", "xlink:href"):
                self.fetches.append(value or "")

    def handle_data(self, data: str) -> None:
        self.text += data + " "


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    return reader


def test_a_streaming_history_yields_its_charts(streaming: ParquetTables) -> None:
    titles = [figure.title for figure in figures(streaming, PASSED.faults, PASSED.gates)]
    assert titles == [
        "Startup time",
        "Good answers (requests)",
        "Delivered bitrate",
        "Stalls",
        "Breaker states",
        "Latency (requests)",
    ]


def test_a_system_without_these_tables_gets_what_can_be_drawn(tmp_path: Path) -> None:
    found = figures(ParquetTables(write_plain_history(tmp_path)), (CRASH,))
    assert [figure.title for figure in found] == ["Good answers (answers)", "Latency (answers)"]


def test_breaker_lanes_follow_the_changes(streaming: ParquetTables) -> None:
    (lanes,) = [figure.lanes for figure in figures(streaming, ()) if figure.kind == "lanes"]
    (lane,) = lanes
    assert lane.name == "gateway-1 recommender"
    assert [(start, state, level) for start, _, state, level in lane.spans] == [
        (0.0, "closed", "calm"),
        (62.0, "open", "bad"),
        (92.0, "half-open", "warn"),
        (93.0, "closed", "calm"),
    ]


def test_success_dips_where_the_history_has_failures(streaming: ParquetTables) -> None:
    (success,) = [f for f in figures(streaming, ()) if f.title == "Good answers (requests)"]
    home = next(series for series in success.series if series.name == "home")
    assert {t for t, share in home.line if share < 1} <= {t for t, _ in home.line if 56 <= t <= 124}
    assert min(share for _, share in home.line) < 1


def test_the_page_needs_nothing_but_itself(streaming: ParquetTables) -> None:
    page = run_page(FAILED, streaming, {"seed": 7})
    reader = read(page)
    assert reader.fetches == ["../index.html"]
    assert not {"script", "link", "img", "iframe", "object"} & set(reader.tags)
    assert "url(" not in page
    assert "@import" not in page


def test_the_page_says_what_failed_and_how_to_see_it_again(streaming: ParquetTables) -> None:
    text = read(run_page(FAILED, streaming, {"python": "3.13.5"})).text
    for part in (
        "FAILED",
        "playback-success",
        "[90.12%, 92.41%]",
        "≥ 99.9%",
        "edge-a-1",
        FAILED.replay,
        "3.13.5",
    ):
        assert part in text
    assert "Safeguard player.failover was switched off" in re.sub(r"\s+", " ", text)


@pytest.mark.parametrize("result", [PASSED, FAILED, INCONCLUSIVE, ERROR], ids=lambda r: r.verdict.value)
def test_every_verdict_is_a_word_in_the_headline(result: ExperimentResult) -> None:
    page = run_page(result, None, {})
    assert f"<title>{result.verdict.value.upper()}: " in page
    assert "There is no history to draw." in page


def test_text_from_outside_is_escaped() -> None:
    evil = "<script>alert(1)</script>"
    fault = replace(CRASH, fault=evil, targets=(evil,))
    result = replace(PASSED, title=evil, reason=evil, faults=(fault,), notes=(evil,))
    assert evil not in run_page(result, None, {evil: evil})
    assert evil not in index_page([result], Path("reports"))
    bad = Figure(evil, evil, 10.0, [Band(evil, 0, 1)], series=[Series(evil, line=[(0, 1)])])
    assert evil not in render(bad)
    assert evil not in render(replace(bad, kind="lanes", lanes=[Lane(evil, [(0, 9, evil, "bad")])]))


def test_bands_stand_where_the_faults_were(streaming: ParquetTables) -> None:
    figure = figures(streaming, (CRASH, replace(CRASH, applied_at_s=None)))[0]
    assert [(band.start_s, band.end_s) for band in figure.bands] == [(60.0, 120.0)]
    assert "crash edge-a-1" in render(figure)


def test_a_fault_never_undone_is_shaded_to_the_end(streaming: ParquetTables) -> None:
    figure = figures(streaming, (replace(CRASH, undone_at_s=None),))[0]
    assert figure.bands[0].end_s == figure.end_s > 190


def test_the_limit_of_the_gate_is_drawn(streaming: ParquetTables) -> None:
    assert "threshold of p95 ≤ 2 s" in render(figures(streaming, (), (STARTUP,))[0])


class Flood:
    """Tables too large for a page: very many rows, very many charts."""

    def columns(self) -> Mapping[str, Mapping[str, str]]:
        return {f"answers_{i:03}": {"t_s": "DOUBLE", "startup_s": "DOUBLE"} for i in range(80)}

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        if sql.startswith("SELECT max"):
            return [(1000.0,)]
        if "quantile" in sql:
            return [("all", i, 1.0) for i in range(48)]
        return [("all", i / 50, (i * 7919) % 1000 / 100) for i in range(50_000)]


def test_the_page_stays_small_whatever_the_history_holds() -> None:
    page = run_page(PASSED, Flood(), {"note": "x" * 10_000_000})
    assert len(page.encode()) <= pages.PAGE_BYTES_MOST
    assert "more charts are left out" in page


def test_the_index_links_every_run_and_counts() -> None:
    reader = read(index_page([PASSED, FAILED, ERROR], Path("reports")))
    assert reader.fetches == [
        "identity-down-7/report.html",
        "edge-appliance-loss-7/report.html",
        "edge-appliance-loss-7/report.html",
    ]
    assert "1 of 3 runs passed" in reader.text


def test_what_never_failed_is_said_in_words(tmp_path: Path) -> None:
    con = duckdb.connect()
    con.execute(
        f"COPY (SELECT i * 1.0 AS t_s, true AS ok, 0.0 AS stall_s FROM range(60) r(i))"
        f" TO '{tmp_path / 'sessions.parquet'}'"
    )
    con.close()
    found = {figure.title: figure for figure in figures(ParquetTables(tmp_path), ())}
    assert found["Good answers (sessions)"].kind == found["Stalls"].kind == "words"
    assert found["Stalls"].note == "No playback was interrupted."
    assert render(found["Stalls"]) == ""
    page = run_page(PASSED, ParquetTables(tmp_path), {})
    assert "All answers were good, all the time" in page


def test_slices_of_time_are_round_so_that_faults_begin_one() -> None:
    assert [slice_of(end_s) for end_s in (20, 150, 180, 600, 3600)] == [0.5, 2.0, 2.5, 10.0, 60.0]


def test_the_startup_chart_shows_the_percentile_of_its_gate(streaming: ParquetTables) -> None:
    slo = PercentileSlo(
        protects="films start", table="sessions", value="startup_s", percentile=50, at_most="2s"
    )
    gate = replace(STARTUP, slo="startup-time")
    half = figures(streaming, (), (gate,), Asked({"startup-time": slo}))[0]
    usual = figures(streaming, (), (gate,))[0]
    assert "the 50th percentile" in half.note
    assert half.limit == (2.0, "threshold of p50 ≤ 2 s")
    assert usual.limit == (2.0, "threshold of p95 ≤ 2 s")
    for below, above in zip(half.series, usual.series, strict=True):
        assert all(low <= high for (_, low), (_, high) in zip(below.line, above.line, strict=True))
    # Without a gate, an SLO on the same column says which percentile people look at.
    assert "the 50th percentile" in figures(streaming, (), (), Asked({"start": slo}))[0].note


def test_the_last_arrival_is_marked_where_the_run_goes_on(streaming: ParquetTables) -> None:
    drawn = render(figures(streaming, (), (), Asked(load_end_s=150.0))[0])
    assert ">last arrivals</text>" in drawn
    assert "last arrivals" not in render(figures(streaming, (), (), Asked(load_end_s=199.0))[0])


def test_labels_above_a_chart_never_overlap_and_stay_inside() -> None:
    bands = [Band("partition of " + "x" * 200, t, t + 5) for t in (0, 2, 60, 95)]
    svg = render(Figure("t", "n", 100.0, bands, series=[Series("a", line=[(0, 1)])], marks=[Mark("end", 90)]))
    labels = re.findall(r'<text class="(?:fault|tick)" x="([\d.]+)" y="(12|27|42|57|72)">(.*?)</text>', svg)
    places = [
        (int(y), float(x), float(x) + 6.6 * len(re.sub("<title>.*</title>", "", text)))
        for x, y, text in labels
    ]
    assert len(places) == 5
    for index, (y, start, end) in enumerate(places):
        assert 0 <= start < end <= 960
        assert all(y != other or end <= low or high <= start for other, low, high in places[index + 1 :])
    assert "x" * 200 in svg  # whole, for who points at it


def test_a_fault_with_a_name_is_called_by_it(streaming: ParquetTables) -> None:
    named = replace(CRASH, name="power cut")
    page = run_page(replace(PASSED, faults=(named,)), streaming, {})
    assert "<b>power cut: crash</b> of edge-a-1" in page
    assert ">power cut</text>" in page


def test_notes_stand_in_the_banner_and_in_the_index() -> None:
    noted = replace(PASSED, notes=("3 of 365 clients were sent away",))
    banner = run_page(noted, None, {}).partition("</header>")[0]
    assert "3 of 365 clients were sent away" in banner
    assert "3 of 365 clients were sent away" in index_page([noted], Path("reports"))


def test_states_have_a_legend_with_their_colours(streaming: ParquetTables) -> None:
    page = run_page(PASSED, streaming, {})
    for level, state in (("calm", "closed"), ("warn", "half-open"), ("bad", "open")):
        assert f'<i class="key {level}"></i>{state}' in page


def test_exposure_has_a_column_for_what_was_touched_only() -> None:
    page = run_page(replace(PASSED, faults=(replace(CRASH, exposure={"resets": 2, "bytes": 0}),)), None, {})
    exposure = page[page.index("<h2>Exposure") :]
    assert '<th class="n">resets</th>' in exposure
    assert '<th class="n">bytes</th>' not in exposure


def test_long_targets_may_break_between_hosts_and_nowhere_else() -> None:
    fault = replace(CRASH, targets=("edge-a-1, edge-a-2 > storage-1",))
    page = run_page(replace(PASSED, faults=(fault,)), None, {})
    whole = '<span class="whole">{}</span>'
    assert f"{whole.format('edge-a-1')}, {whole.format('edge-a-2')} &gt; {whole.format('storage-1')}" in page
