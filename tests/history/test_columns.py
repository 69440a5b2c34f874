from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.history.columns import EVENT_COLUMNS, Column, TableError, check_expression, columns


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
    ) == KNOWN


@pytest.mark.parametrize(
    ("row_type", "said"),
    [
        (int, "int is not a dataclass"),
        (WithList, r"WithList.parts is list\[str\]; allowed are str, int, float, bool"),
        (WithoutMoment, "WithoutMoment needs a field t_s: float"),
        (WithNullMoment, "WithNullMoment needs a field t_s: float"),
    ],
)
def test_what_cannot_be_a_table_is_refused(row_type: type, said: str) -> None:
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
    assert (
        check_expression(expression, KNOWN) == "is a number; it must be true or false, such as a comparison"
    )


def test_events_hold_json() -> None:
    assert check_expression("fields->>'session' = 'a'", EVENT_COLUMNS) is None


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        (
            "outcom = 'a'",
            "no column 'outcom'; the table has t_s, outcome, ok, count, error, startup_s, fault_start_s",
        ),
        ("outcom = 'a'", "did you mean 'outcome'?"),
        ('outcome = "completed"', "text takes single quotes"),
        ("outcome", "is text; it must be true or false"),
        ("null", "it must be true or false"),
        ("", "is empty"),
        ("  ", "is empty"),
        ("ok, ok", "it must be true or false"),
        ("*", "STAR"),
        ("columns(*) is null", "is more than one value"),
        ("avg(t_s) > 1", "aggregates"),
        ("row_number() over () > 1", "window"),
        ("foo(t_s) > 1", "no function 'foo'"),
        ("t_s > 'soon'", "Could not convert"),
        ("t_s between 1 and", "is not an SQL expression: syntax error"),
        ("t_s > ?", "parameter"),
        ("random() < 0.5", "'random' gives something else each time"),
        ("t_s < epoch(NOW())", "'NOW' gives something else each time"),
        ("true; drop table rows", "is not an SQL expression"),
        ("true) from rows; drop table rows; select (true", "is not an SQL expression"),
        ("true) union select (true", "is not an SQL expression"),
        ("true], [true", "is not an SQL expression"),
        ("ok /* and", "comment"),
        ("exists (from read_csv('/etc/hosts'))", "disabled"),
        ("(select count(*) from sessions) > 1", "sessions does not exist"),
    ],
)
def test_anything_else_says_what_is_wrong(expression: str, said: str) -> None:
    assert said in (check_expression(expression, KNOWN) or "nothing is wrong")


@settings(deadline=None, max_examples=60)
@given(st.text(alphabet="()[]';,-\"*/ ok=1\n\\$?", max_size=15))
def test_any_text_is_judged_without_an_exception(expression: str) -> None:
    problem = check_expression(expression, KNOWN)
    assert problem is None or (problem and "\n" not in problem)


def test_a_column_with_a_name_that_sql_takes_is_told_from_nonsense() -> None:
    known = (*KNOWN, Column("group", "VARCHAR", False))
    assert check_expression("group = 'fast'", known) == (
        "is not an SQL expression: 'group' is a word of SQL; write the column in double quotes"
    )
    assert check_expression("\"group\" = 'fast'", known) is None
