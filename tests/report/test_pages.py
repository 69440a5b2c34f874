"""The HTML pages: what they say, that they need nothing else, and that they stay small."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from harness.faults.exposure import Exposure
from harness.report import pages
from harness.report.charts import draw_charts
from harness.report.pages import index_page, run_page
from harness.report.svg import Band, Figure, Series, Span, Timeline, render
from harness.verdict.model import ExperimentResult
from systems.streaming.charts import CHARTS
from tests.report.samples import CRASH, ERROR, FAILED, INCONCLUSIVE, PASSED
from tests.report.support import write_streaming_history


@pytest.fixture
def streaming(tmp_path: Path) -> Iterator[list[Figure]]:
    with write_streaming_history(tmp_path) as history:
        yield list(draw_charts(CHARTS, history, (CRASH,)))


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


def test_the_page_needs_nothing_but_itself(streaming: list[Figure]) -> None:
    page = run_page(FAILED, streaming, {"seed": 7})
    reader = read(page)
    assert reader.fetches == ["../index.html"]
    assert not {"script", "link", "img", "iframe", "object"} & set(reader.tags)
    assert "url(" not in page
    assert "@import" not in page


def test_the_page_says_what_failed_and_how_to_see_it_again(streaming: list[Figure]) -> None:
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
    page = run_page(result, (), {})
    assert f"<title>{result.verdict.value.upper()}: " in page
    assert "The run has no rows to draw." in page


def test_text_from_outside_is_escaped() -> None:
    evil = "<script>alert(1)</script>"
    fault = replace(CRASH, fault=evil, targets=(evil,))
    result = replace(PASSED, title=evil, reason=evil, faults=(fault,), notes=(evil,))
    assert evil not in run_page(result, (), {evil: evil})
    assert evil not in index_page([result], Path("reports"))
    bad = Figure(evil, evil, 10.0, [Band(evil, 0, 1)], series=[Series(evil, line=[(0, 1)])])
    assert evil not in render(bad)
    assert evil not in render(
        replace(bad, kind="states", timelines=[Timeline(evil, [Span(0, 9, evil, "bad")])])
    )


def test_the_index_links_every_run_and_counts() -> None:
    reader = read(index_page([PASSED, FAILED, ERROR], Path("reports")))
    assert reader.fetches == [
        "identity-down-7/report.html",
        "edge-appliance-loss-7/report.html",
        "edge-appliance-loss-7/report.html",
    ]
    assert "1 of 3 runs passed" in reader.text


def test_a_fault_with_a_name_is_called_by_it() -> None:
    named = replace(CRASH, name="power cut")
    page = run_page(replace(PASSED, faults=(named,)), (), {})
    assert "<b>power cut: crash</b> of edge-a-1" in page


def test_notes_stand_in_the_banner_and_in_the_index() -> None:
    noted = replace(PASSED, notes=("3 of 365 clients were cancelled",))
    banner = run_page(noted, (), {}).partition("</header>")[0]
    assert "3 of 365 clients were cancelled" in banner
    assert "3 of 365 clients were cancelled" in index_page([noted], Path("reports"))


def test_states_have_a_legend_with_their_colours(streaming: list[Figure]) -> None:
    page = run_page(PASSED, streaming, {})
    for level, state in (("ok", "closed"), ("warn", "half-open"), ("bad", "open")):
        assert f'<i class="key {level}"></i>{state}' in page


def test_exposure_has_a_column_for_what_was_touched_only() -> None:
    page = run_page(
        replace(PASSED, faults=(replace(CRASH, exposure=Exposure(connections=2, resets=2)),)), (), {}
    )
    exposure = page[page.index("<h2>Exposure") :]
    assert '<th class="n">resets</th>' in exposure
    assert '<th class="n">bytes</th>' not in exposure


def test_long_targets_may_break_between_hosts_and_nowhere_else() -> None:
    fault = replace(CRASH, targets=("edge-a-1, edge-a-2 > storage-1",))
    page = run_page(replace(PASSED, faults=(fault,)), (), {})
    whole = '<span class="whole">{}</span>'
    assert f"{whole.format('edge-a-1')}, {whole.format('edge-a-2')} &gt; {whole.format('storage-1')}" in page


def test_the_page_stays_small_whatever_the_history_holds() -> None:
    points = [(i / 50, (i * 7919) % 1000 / 100) for i in range(50_000)]
    flood = [Figure(f"chart {n}", "", 1000.0, series=[Series("all", dots=points)]) for n in range(80)]
    page = run_page(PASSED, flood, {"note": "x" * 10_000_000})
    assert len(page.encode()) <= pages.MAX_PAGE_BYTES
    assert "more charts are left out" in page
