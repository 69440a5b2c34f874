from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

from harness.engine import events
from harness.gates.result import Verdict
from harness.report.reporters.junit import JunitReporter, to_junit
from tests.report.samples import ERROR, FAILED, INCONCLUSIVE, PASSED, SUCCESS


def cases(text: str) -> dict[str, ET.Element]:
    return {case.attrib["name"]: case for case in ET.fromstring(text).iter("testcase")}


def test_one_case_a_gate_and_the_breached_one_fails() -> None:
    found = cases(to_junit([FAILED]))
    gate = found["gate: playback-success (seed 7)"].find("failure")
    assert gate is not None
    assert "91.32% [90.12%, 92.41%]" in gate.attrib["message"]
    assert FAILED.replay in (gate.text or "")
    assert found["gate: player.failover within 5 s of fault (seed 7)"].find("failure") is None


def test_properties_say_how_to_see_it_again() -> None:
    root = ET.fromstring(to_junit([PASSED]))
    properties = {p.attrib["name"]: p.attrib["value"] for p in root.iter("property")}
    assert properties["seed"] == "7"
    assert properties["replay"] == PASSED.replay
    assert properties["history_sha256"] == "a" * 64


def test_doubt_and_breakage_are_errors_never_green() -> None:
    root = ET.fromstring(to_junit([INCONCLUSIVE, ERROR]))
    assert [error.attrib["type"] for error in root.iter("error")] == ["inconclusive", "inconclusive", "error"]
    assert root.attrib["errors"] == "3"
    assert root.attrib["failures"] == "0"


def test_an_interrupted_run_without_gates_is_an_error() -> None:
    root = ET.fromstring(to_junit([replace(ERROR, verdict=Verdict.INTERRUPTED, reason="interrupted")]))
    assert root.attrib["errors"] == "1"


def test_gates_never_judged_are_skipped_beside_the_error() -> None:
    gates = (replace(SUCCESS, verdict=Verdict.INTERRUPTED),)
    root = ET.fromstring(to_junit([replace(PASSED, verdict=Verdict.INTERRUPTED, gates=gates, arms=())]))
    assert root.attrib["skipped"] == "1"


def test_control_characters_do_not_break_the_file() -> None:
    gate = replace(FAILED.gates[0], reason="bad \x00\x1b[31m bytes \ud800 <&>")
    text = to_junit([replace(FAILED, gates=(gate,))])
    (failure,) = ET.fromstring(text.encode()).iter("failure")
    assert r"bad \x00\x1b[31m bytes \ud800 <&>" in failure.attrib["message"]


def test_the_counts_add_up() -> None:
    root = ET.fromstring(to_junit([PASSED, FAILED, INCONCLUSIVE, ERROR], 12.5))
    assert int(root.attrib["tests"]) == len(list(root.iter("testcase")))
    assert root.attrib["time"] == "12.500"


def test_the_time_of_a_run_is_that_of_its_suite_and_shared_by_its_cases() -> None:
    root = ET.fromstring(to_junit([PASSED, INCONCLUSIVE], 9.0, run_elapsed_s={PASSED.run: 6.0}))
    first, second = root.iter("testsuite")
    assert (first.attrib["time"], second.attrib["time"]) == ("6.000", "0.000")
    times = [float(case.attrib["time"]) for case in first.iter("testcase")]
    assert min(times) > 0
    assert sum(times) == pytest.approx(6.0, abs=0.01)


def test_the_reporter_hears_how_long_each_run_took(tmp_path: Path) -> None:
    reporter = JunitReporter(tmp_path / "junit.xml")
    reporter(events.RunFinished(PASSED, 3.0))
    reporter(events.SuiteFinished((PASSED,), Verdict.PASSED, 0, 4.0, str(tmp_path)))
    (suite,) = ET.parse(tmp_path / "junit.xml").getroot().iter("testsuite")
    assert suite.attrib["time"] == "3.000"
