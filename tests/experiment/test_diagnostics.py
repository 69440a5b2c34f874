from __future__ import annotations

import pickle

import pytest

from harness.experiment.diagnostics import Diagnostic, ExperimentError, did_you_mean, nearest


def test_a_diagnostic_reads_as_one_line() -> None:
    assert str(Diagnostic("a.yaml", 3, 7, "found x", "allowed: y", "did you mean 'y'?")) == (
        "a.yaml:3:7: found x; allowed: y; did you mean 'y'?"
    )
    assert str(Diagnostic("a.yaml", 0, 0, "cannot be read")) == "a.yaml: cannot be read"


def test_an_error_holds_each_mistake_once_in_the_order_of_the_text() -> None:
    late, early = Diagnostic("a", 10, 1, "x"), Diagnostic("a", 9, 5, "y")
    other = Diagnostic("b", 1, 1, "z")
    error = ExperimentError([other, late, early, late])
    assert error.diagnostics == (early, late, other)
    assert str(error) == "a:9:5: y\na:10:1: x\nb:1:1: z"
    assert pickle.loads(pickle.dumps(error)).diagnostics == error.diagnostics


@pytest.mark.parametrize(
    ("word", "meant"),
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
def test_the_nearest_word_is_meant(word: str, meant: str | None) -> None:
    assert nearest(word, ["crash", "power-off", "pause"]) == meant


def test_nothing_is_meant_where_nothing_is_near() -> None:
    assert did_you_mean("elephant", ["crash"]) == ""
    assert did_you_mean("crush", ["crash"]) == "did you mean 'crash'?"
