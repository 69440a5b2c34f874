from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.faults.exposure import Exposure
from harness.gates.result import Verdict
from harness.report import formatting as words
from harness.sli.formatting import duration, ratio
from tests.report.samples import CRASH, PASSED, STARTUP, SUCCESS


@pytest.mark.parametrize(
    ("value", "decimals", "expected"),
    [(0.9995, 2, "99.95%"), (1.0, 2, "100%"), (0.999999, 2, "99.99%"), (0.00001, 2, "0.01%"), (0.0, 2, "0%")],
)
def test_a_ratio_is_never_rounded_to_certainty(value: float, decimals: int, expected: str) -> None:
    assert ratio(value, decimals) == expected


@settings(deadline=None)
@given(st.floats(0.0, 1.0, exclude_max=True))
def test_less_than_all_is_never_written_as_all(value: float) -> None:
    assert ratio(value) != "100%"
    assert float(ratio(value)[:-1]) < 100


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0 s"),
        (0.00002, "20 us"),
        (0.085, "85 ms"),
        (1.84, "1.84 s"),
        (95.2, "95.2 s"),
        (100, "100 s"),
        (720, "12 min"),
    ],
)
def test_durations(seconds: float, expected: str) -> None:
    assert duration(seconds) == expected


def test_a_value_shows_one_decimal_more_than_its_limit() -> None:
    assert words.gate_value(replace(SUCCESS, threshold=0.9999, value=0.99987)) == "99.987%"
    assert words.gate_threshold(replace(SUCCESS, threshold=0.9999)) == "≥ 99.99%"


def test_a_limit_says_in_which_direction_it_holds() -> None:
    assert words.gate_threshold(SUCCESS) == "≥ 99.9%"
    assert words.gate_threshold(STARTUP) == "≤ 2 s"


def test_a_fault_that_touched_nothing_says_so() -> None:
    idle = replace(CRASH, exposure=Exposure(), undone_at_s=None)
    assert words.fault_line(idle) == "crash-1: crash of edge-a-1, from 60 s to the end, affected nothing"


def test_a_fault_that_never_came_says_so() -> None:
    assert words.fault_when(replace(CRASH, applied_at_s=None, undone_at_s=None)) == "never applied"


def test_a_fault_is_called_by_its_own_name_or_by_what_it_does() -> None:
    assert words.fault_label(replace(CRASH, name="crash")) == "crash edge-a-1"
    assert words.fault_label(replace(CRASH, name="crash-2")) == "crash edge-a-1"
    assert words.fault_label(replace(CRASH, name="power cut")) == "power cut"
    assert words.fault_title(replace(CRASH, name="power cut")) == "power cut: crash"
    assert words.fault_title(replace(CRASH, name="crash-2")) == "crash"


def test_long_targets_are_told_in_few_words_at_both_ends_of_a_link() -> None:
    link = ("edge-a-1, edge-a-2, edge-b-1 > storage-1, storage-2",)
    assert words.short_targets(link, 1) == "edge-a-1 and 2 more > storage-1 and 1 more"
    assert words.short_targets(("a", "b", "c"), 2) == "a, b and 1 more"


def test_what_a_gate_did_in_an_arm() -> None:
    breached, held = replace(SUCCESS, verdict=Verdict.FAILED), SUCCESS
    arm = PASSED.arms[0]
    assert words.describe_arm_gate(arm, breached) == "breached (expected)"
    assert words.describe_arm_gate(arm, held) == "held (one breach is enough)"
    assert words.describe_arm_gate(replace(arm, verdict=Verdict.FAILED), held) == "held"
    assert words.describe_arm_gate(replace(arm, must="hold"), held) == "held (expected)"
    assert words.describe_arm_gate(replace(arm, must="hold", verdict=Verdict.FAILED), breached) == "breached"
