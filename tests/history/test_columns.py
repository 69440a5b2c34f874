from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.diagnostics import Code
from harness.history.columns import EVENT_COLUMNS, Column, TableError, columns
from harness.history.expressions import check_expression


@dataclass(frozen=True, slots=True)
class Row:
    t_s: float
    outcome: str
    ok: bool
    count: int
    error: str | None
    startup_s: float | None


@dataclass
class WithList:
    t_s: float
    parts: list[str]


@dataclass
class WithoutMoment:
    at_s: float


@dataclass
class WithNullMoment:
    t_s: float | None


KNOWN = columns(Row)


def test_a_row_class_is_a_table() -> None:
    assert (
        Column("t_s", "DOUBLE", False),
        Column("outcome", "VARCHAR", False),
        Column("ok", "BOOLEAN", False),
        Column("count", "BIGINT", False),
        Column("error", "VARCHAR", True),
        Column("startup_s", "DOUBLE", True),
        Column("recorded_by", "VARCHAR", False),
    ) == KNOWN


@pytest.mark.parametrize(
    ("row_type", "said"),
    [
        (int, "int is not a dataclass"),
        (WithList, r"WithList.parts is list\[str\]; allowed: str, int, float, bool"),
        (WithoutMoment, "WithoutMoment needs a field t_s: float"),
        (WithNullMoment, "WithNullMoment needs a field t_s: float"),
    ],
)
def test_a_class_that_cannot_be_a_table_is_refused(row_type: type, said: str) -> None:
    with pytest.raises(TableError, match=said):
        columns(row_type)


@pytest.mark.parametrize(
    "expression",
    [
        "ok",
        "outcome = 'completed' and startup_s < 2",
        "outcome in ('a', 'b') or error is null",
        "error like '%;%'",
        "ok -- why not",
        "t_s between fault_start_s and fault_end_s",
        "case when ok then true else count > 3 end",
        "regexp_matches(outcome, '^now')",
    ],
)
def test_a_condition_on_a_row_is_fine(expression: str) -> None:
    assert check_expression(expression, KNOWN) is None


@pytest.mark.parametrize("expression", ["t_s", "count", "startup_s * 1e3", "t_s - startup_s", "count // 2"])
def test_a_number_is_fine_where_a_number_is_wanted(expression: str) -> None:
    assert check_expression(expression, KNOWN, numeric=True) is None
    problem = check_expression(expression, KNOWN)
    assert problem is not None
    assert problem.allowed == "must be true or false, such as a comparison"


def test_events_hold_json() -> None:
    assert check_expression("fields->>'session' = 'a'", EVENT_COLUMNS) is None


@pytest.mark.parametrize(
    ("expression", "part"),
    [
        ("outcom = 'a'", "unknown column 'outcom'; allowed: t_s, outcome, ok, count, error, startup_s"),
        ("outcom = 'a'", "did you mean 'outcome'?"),
        ('outcome = "completed"', "text takes single quotes"),
        ("outcome", "is text; must be true or false"),
        ("null", "must be true or false"),
        ("", "is empty"),
        ("  ", "is empty"),
        ("ok, ok", "must be true or false"),
        ("*", "STAR"),
        ("columns(*) is null", "is more than one value"),
        ("avg(t_s) > 1", "aggregates"),
        ("row_number() over () > 1", "window"),
        ("foo(t_s) > 1", "unknown function 'foo'"),
        ("t_s > 'soon'", "Could not convert"),
        ("t_s between 1 and", "is not an SQL expression: syntax error"),
        ("t_s > ?", "parameter"),
        ("random() < 0.5", "'random' is not deterministic"),
        ("t_s < epoch(NOW())", "'NOW' is not deterministic"),
        ("true; drop table rows", "is not an SQL expression"),
        ("true) from rows; drop table rows; select (true", "is not an SQL expression"),
        ("true) union select (true", "is not an SQL expression"),
        ("true], [true", "is not an SQL expression"),
        ("ok /* and", "comment"),
        ("exists (from read_csv('/etc/hosts'))", "is a subquery"),
        ("(select count(*) from sessions) > 1", "is a subquery"),
    ],
)
def test_other_expressions_are_refused_with_the_reason(expression: str, part: str) -> None:
    problem = check_expression(expression, KNOWN)
    assert problem is not None
    assert problem.code is Code.BAD_EXPRESSION
    assert part in str(problem)


@settings(deadline=None, max_examples=60)
@given(st.text(alphabet="()[]';,-\"*/ ok=1\n\\$?", max_size=15))
def test_any_text_is_checked_without_an_exception(expression: str) -> None:
    problem = check_expression(expression, KNOWN)
    assert problem is None or "\n" not in str(problem)


def test_a_column_that_is_a_word_of_sql_needs_quotes() -> None:
    known = (*KNOWN, Column("group", "VARCHAR", False))
    problem = check_expression("group = 'fast'", known)
    assert problem is not None
    assert problem.hint == 'write the column in double quotes: "group"'
    assert check_expression("\"group\" = 'fast'", known) is None
