from __future__ import annotations

import pytest

from harness.text import did_you_mean, nearest, plural, quote, unique_names


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("crsh", "crash"),
        ("power_off", "power-off"),
        ("Power Off", "power-off"),
        ("POWER-OFF", "power-off"),
        ("powr-of", "power-off"),
        ("elephant", None),
        ("", None),
    ],
)
def test_the_nearest_word(word: str, expected: str | None) -> None:
    assert nearest(word, ["crash", "power-off", "pause"]) == expected


def test_nothing_is_suggested_where_nothing_is_near() -> None:
    assert did_you_mean("elephant", ["crash"]) == ""
    assert did_you_mean("crush", ["crash"]) == "did you mean 'crash'?"
    assert did_you_mean("crush", ["crash"], before="; ") == "; did you mean 'crash'?"


def test_plurals() -> None:
    assert [plural(count, "fault") for count in (0, 1, 2)] == ["0 faults", "1 fault", "2 faults"]
    assert plural(2, "loss", "losses") == "2 losses"


def test_names_that_occur_more_than_once_are_numbered() -> None:
    assert unique_names(["a", "b", "a"]) == ("a-1", "b", "a-2")
    assert unique_names(["a", "a", "a-1"]) == ("a-2", "a-3", "a-1")


def test_quoted_values_fit_on_a_line() -> None:
    quoted = [quote(value) for value in (None, True, {}, {"a": 1}, [], [1], "", "a\nb", 5, 1.5)]
    assert quoted == [
        *("nothing", "true", "an empty mapping", "a mapping", "an empty list", "a list"),
        *("''", "'a'", "5", "1.5"),
    ]
    assert quote("x" * 100) == f"'{'x' * 57}...'"
