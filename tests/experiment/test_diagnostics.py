from __future__ import annotations

import pickle
import re

import pytest

from harness.diagnostics import Code, Diagnostic
from harness.errors import ExperimentError, InvalidInput, InvalidValue, UsageError


def test_a_diagnostic_reads_as_one_line() -> None:
    full = Diagnostic(
        Code.BAD_VALUE, "found x", "allowed: y", "did you mean 'y'?", file="a.yaml", line=3, col=7
    )
    assert str(full) == "a.yaml:3:7: found x; allowed: y; did you mean 'y'?"
    assert str(Diagnostic(Code.UNREADABLE, "cannot be read", file="a.yaml")) == "a.yaml: cannot be read"
    assert str(Diagnostic(Code.BAD_REQUEST, "no seed")) == "no seed"


def test_an_error_has_each_mistake_once_in_the_order_of_the_text() -> None:
    def at(file: str, line: int, col: int, found: str) -> Diagnostic:
        return Diagnostic(Code.BAD_VALUE, found, file=file, line=line, col=col)

    late, early, other = at("a", 10, 1, "x"), at("a", 9, 5, "y"), at("b", 1, 1, "z")
    error = ExperimentError([other, late, early, late])
    assert error.diagnostics == (early, late, other)
    assert str(error) == "a:9:5: y\na:10:1: x\nb:1:1: z"


@pytest.mark.parametrize(
    "error",
    [
        ExperimentError([Diagnostic(Code.BAD_VALUE, "x", file="a", line=1, col=1)]),
        UsageError(["no seed"]),
        InvalidValue(Code.OUT_OF_RANGE, "found 0", "it must be > 0", path=("rate",)),
    ],
)
def test_errors_cross_processes(error: InvalidInput) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert again.diagnostics == error.diagnostics
    assert str(again) == str(error)


def test_codes_are_kebab_case_words() -> None:
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", code.value) for code in Code)
