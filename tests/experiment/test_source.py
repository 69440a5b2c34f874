from __future__ import annotations

import math
from typing import Any

import pytest

from harness.diagnostics import Code
from harness.errors import ExperimentError
from harness.experiment.source import MAX_BYTES, MAX_VALUES, Mark, core_scalar, read_source


def refused(text: str) -> list[tuple[Code, int, int]]:
    with pytest.raises(ExperimentError) as caught:
        read_source(text, "f.yaml")
    return [(one.code, one.line, one.col) for one in caught.value.diagnostics]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"),
        ("yes", "yes"),
        ("No", "No"),
        ("1_000", "1_000"),
        ("12:30:45", "12:30:45"),
        ("0b11", "0b11"),
        ("2026-01-01", "2026-01-01"),
        ("<<", "<<"),
        ("", None),
        ("~", None),
        ("null", None),
        ("nULL", "nULL"),
        ("true", True),
        ("FALSE", False),
        ("tRue", "tRue"),
        ("017", 17),
        ("-12", -12),
        ("0o17", 15),
        ("0x1F", 31),
        ("1.5e3", 1500.0),
        (".5", 0.5),
        ("+.inf", math.inf),
        ("-.INF", -math.inf),
    ],
)
def test_scalars_follow_the_core_schema_of_yaml_1_2(text: str, value: Any) -> None:
    found = core_scalar(text)
    assert found == value
    assert type(found) is type(value)


def test_quoted_and_block_scalars_are_text() -> None:
    assert read_source("a: 'true'\nb: \"5\"\nc: |\n  5\n", "f").value == {"a": "true", "b": "5", "c": "5\n"}


def test_values_and_keys_have_positions() -> None:
    source = read_source("load:\n  viewers: {arrive: 4/s}\ngates:\n- slo: a\n-   slo: b\n", "f.yaml")
    assert source.mark(("load", "viewers", "arrive")) == Mark(2, 21)
    assert source.mark(("load", "viewers", "arrive"), key=True) == Mark(2, 13)
    assert source.mark(("gates", 1)) == Mark(5, 5)
    assert source.mark(("gates", 1, "where", "deeper")) == Mark(5, 5)
    assert source.mark(("nothing",)) == Mark(1, 1)
    assert (
        str(source.at(("gates", 0, "slo"), Code.BAD_VALUE, "found", "allowed"))
        == "f.yaml:4:8: found; allowed"
    )


def test_columns_count_characters_not_bytes() -> None:
    assert read_source("title: {é: 'ü', b: 1}", "f").mark(("title", "b")) == Mark(1, 20)


def test_a_duplicate_key_names_both_places_and_hides_nothing() -> None:
    source = read_source("a: 1\nb: {c: 1, c: 2}\na: 3\n", "f.yaml")
    assert source.value == {"a": 1, "b": {"c": 1}}
    assert [(one.code, one.line, one.col) for one in source.problems] == [
        (Code.DUPLICATE, 2, 11),
        (Code.DUPLICATE, 3, 1),
    ]
    assert "first on line 1" in source.problems[1].found


def test_anchors_aliases_tags_and_keys_of_other_types_are_reported_together() -> None:
    source = read_source("a: &x [1]\nb: *x\nc: !!str 5\n7: d\n[8]: e\n", "f.yaml")
    assert source.value == {"a": [1], "b": [1], "c": 5}
    assert sorted((one.line, one.col) for one in source.problems) == [(1, 4), (2, 4), (3, 4), (4, 1), (5, 1)]
    assert {one.code for one in source.problems} == {Code.SYNTAX}


def test_a_billion_laughs_cost_nothing() -> None:
    lines = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    assert (Code.SYNTAX, 5) in [(code, line) for code, line, _ in refused("\n".join(lines))]


def test_a_list_that_contains_itself_is_refused() -> None:
    assert (Code.SYNTAX, 1, 4) in refused("a: &a [*a]")


@pytest.mark.parametrize(
    ("text", "code", "line", "col"),
    [
        ("", Code.EMPTY, 1, 1),
        ("# nothing\n", Code.EMPTY, 1, 1),
        ("- a\n- b\n", Code.WRONG_TYPE, 1, 1),
        ("word", Code.WRONG_TYPE, 1, 1),
        ("a: 1\n---\nb: 2\n", Code.SYNTAX, 2, 1),
        ("a:\n\tb: 1\n", Code.SYNTAX, 2, 1),
        ("a: @b", Code.SYNTAX, 1, 4),
        ("title: this: that", Code.SYNTAX, 1, 12),
        ("a: [1, 2\nb: 3\n", Code.SYNTAX, 2, 2),
        ("a: 'b\n", Code.SYNTAX, 2, 1),
        ("a: *nowhere", Code.SYNTAX, 1, 4),
        ("a: b\x07", Code.SYNTAX, 1, 5),
        ("a: \ud800", Code.SYNTAX, 1, 4),
        ("a: " + "[" * 10_000, Code.SYNTAX, 1, 35),
        ("a: [" + "1," * (2 * MAX_VALUES) + "1]", Code.SYNTAX, 1, 2 * (2 * MAX_VALUES) - 1),
        ("a: " + "x" * MAX_BYTES, Code.UNREADABLE, 0, 0),
        ("%YAML 9.9\n---\na: 1\n", Code.SYNTAX, 1, 1),
    ],
)
def test_a_text_that_is_not_one_mapping_is_refused(text: str, code: Code, line: int, col: int) -> None:
    assert refused(text) == [(code, line, col)]


def test_errors_of_the_yaml_parser_are_reworded_where_they_mislead() -> None:
    with pytest.raises(ExperimentError, match="quote the value, or begin a new line"):
        read_source("title: this: that", "f.yaml")
    with pytest.raises(ExperimentError, match="that begins on line 1"):
        read_source("a: 'b\n", "f.yaml")


def test_a_byte_order_mark_is_no_key() -> None:
    assert read_source("\ufeffa: 1", "f").value == {"a": 1}
