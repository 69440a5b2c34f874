"""Whatever characters names, titles, files and reasons have: nothing that is printed acts on a terminal or on CI."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from harness.engine.events import FaultChanged, Progress, RunFinished, RunStarted, SuiteFinished, SuiteStarted
from harness.gates.result import Verdict
from harness.report.pages import index_page, run_page
from harness.report.reporters.github import GitHubReporter, make_annotations
from harness.report.reporters.junit import to_junit
from harness.report.reporters.terminal import TerminalReporter
from harness.text import escape_controls, escape_json_controls, one_line
from harness.verdict.model import ExperimentResult
from tests.report.samples import ARM, CRASH, ERROR, FAILED

ACTING = (
    "\n",
    "\r",
    "\x1b[31m",
    "\x1b]0;t\x07",
    "\x9b2J",
    "\u202e",
    "\u2066",
    "\u2028",
    "\x00",
    "\ud800",
    "\ufeff",
)
WORDS = ("::error file=x::pwned", "##[error]x", "<img src=x>", "]]>", "a", " ", "`", "|", "é")
HOSTILE = st.lists(st.sampled_from([*ACTING, *WORDS]), min_size=1, max_size=6).map("".join)
UNSAFE = {
    chr(code) for code in (*range(32), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A))
} | {*"\u200e\u200f\u2028\u2029\u061c\ufeff\ud800"}


@st.composite
def results(draw: st.DrawFn) -> ExperimentResult:
    def text() -> str:
        return draw(HOSTILE)

    gate = replace(FAILED.gates[0], name=text(), reason=text())
    fault = replace(CRASH, name=text(), targets=(text(),), verdict=Verdict.INCONCLUSIVE, reason=text())
    arm = replace(ARM, name=text(), without=(text(),), verdict=Verdict.FAILED, reason=text(), gates=(gate,))
    base = draw(st.sampled_from([FAILED, ERROR]))
    return replace(
        base,
        title=text(),
        file=text(),
        reason=text(),
        replay=text(),
        notes=(text(),),
        gates=(gate,),
        faults=(fault,),
        arms=(arm,),
    )


def check(text: str, *, commands: int = 0) -> None:
    assert not UNSAFE & set(text.replace("\n", ""))
    lines = text.split("\n")
    assert sum(line.lstrip().startswith("::") for line in lines) == commands
    assert not any("##[" in line for line in lines)


@given(result=results(), name=HOSTILE)
@settings(deadline=None, max_examples=40)
def test_no_reporter_prints_what_acts(result: ExperimentResult, name: str) -> None:
    stream = io.StringIO()
    console = Console(file=stream, width=120, force_terminal=False)
    terminal = TerminalReporter(console=console, bars=False, now=iter(range(0, 10_000, 60)).__next__)
    github = GitHubReporter(stream=stream, environment={})
    for event in (
        SuiteStarted((name,), (1,), 1, "reports"),
        RunStarted(name, 1, (name,), 10.0),
        FaultChanged(name, 1, name, name, "applied", 1.0, (name,)),
        Progress(name, 1, name, 2.0, 10.0, 3),
        RunFinished(result, 1.0),
        SuiteFinished((result,), Verdict.FAILED, 1, 1.0, ""),
    ):
        terminal(event)
        github(event)
    check(stream.getvalue(), commands=len(make_annotations([result])))


@given(result=results())
@settings(deadline=None, max_examples=30)
def test_no_file_has_what_acts(result: ExperimentResult) -> None:
    junit = to_junit([result])
    assert not UNSAFE & set(junit.replace("\n", ""))
    ET.fromstring(junit)
    for page in (run_page(result, (), {"system": result.title}), index_page([result], Path("reports"))):
        assert not UNSAFE & set(page.replace("\n", ""))
        assert "<img" not in page


@given(text=st.text(st.characters(), max_size=40) | HOSTILE)
@settings(deadline=None, max_examples=200)
def test_one_line_is_one_line(text: str) -> None:
    check(one_line(text))
    assert one_line(one_line(text)) == one_line(text)
    assert not UNSAFE & set(escape_json_controls(escape_controls(text, keep="\n")).replace("\n", ""))


def test_escapes_say_what_was_there() -> None:
    assert escape_controls("a\n\x1b[1m\u202eb") == r"a\n\x1b[1m\u202eb"
    assert one_line("  ::error::x") == r"  \x3a:error::x"
