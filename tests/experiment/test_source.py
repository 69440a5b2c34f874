from __future__ import annotations

import math
from typing import Any

import pytest

from harness.experiment.diagnostics import ExperimentError
from harness.experiment.source import MAX_BYTES, MAX_VALUES, Mark, core_scalar, read_source


def refused(text: str) -> list[str]:
    with pytest.raises(ExperimentError) as caught:
        read_source(text, "f.yaml")
    return [str(diagnostic) for diagnostic in caught.value.diagnostics]


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


def test_everything_knows_its_place() -> None:
    source = read_source("load:\n  viewers: {arrive: 4/s}\ngates:\n- slo: a\n-   slo: b\n", "f.yaml")
    assert source.mark(("load", "viewers", "arrive")) == Mark(2, 21)
    assert source.mark(("load", "viewers", "arrive"), key=True) == Mark(2, 13)
    assert source.mark(("gates", 1)) == Mark(5, 5)
    assert source.mark(("gates", 1, "where", "deeper")) == Mark(5, 5)
    assert source.mark(("nothing",)) == Mark(1, 1)
    assert str(source.at(("gates", 0, "slo"), "found", "allowed")) == "f.yaml:4:8: found; allowed"


def test_columns_count_characters_not_bytes() -> None:
    assert read_source("title: {é: 'ü', b: 1}", "f").mark(("title", "b")) == Mark(1, 20)


def test_a_duplicate_key_names_both_places_and_hides_nothing() -> None:
    source = read_source("a: 1\nb: {c: 1, c: 2}\na: 3\n", "f.yaml")
    assert source.value == {"a": 1, "b": {"c": 1}}
    assert [str(problem) for problem in source.problems] == [
        "f.yaml:2:11: 'c' is given twice; it stands in line 2, column 5 already; keep one",
        "f.yaml:3:1: 'a' is given twice; it stands in line 1, column 1 already; keep one",
    ]


def test_anchors_aliases_tags_and_strange_keys_are_noted_all_at_once() -> None:
    source = read_source("a: &x [1]\nb: *x\nc: !!str 5\n7: d\n[8]: e\n", "f.yaml")
    assert source.value == {"a": [1], "b": [1], "c": 5}
    assert sorted((problem.line, problem.found) for problem in source.problems) == [
        (1, "found an anchor (&x)"),
        (2, "found an alias (*x)"),
        (3, "found a tag (tag:yaml.org,2002:str)"),
        (4, "found 7 as a key"),
        (5, "found a list as a key"),
    ]


def test_a_billion_laughs_cost_nothing() -> None:
    lines = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    assert any("too large" in problem for problem in refused("\n".join(lines)))


def test_a_list_that_holds_itself_ends() -> None:
    assert any("too deep" in problem for problem in refused("a: &a [*a]"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "f.yaml:1:1: the file is empty"),
        ("# nothing\n", "the file is empty"),
        ("- a\n- b\n", "f.yaml:1:1: found a list; the file must be a mapping"),
        ("word", "found 'word'; the file must be a mapping"),
        ("a: 1\n---\nb: 2\n", "f.yaml:2:1: found a second document"),
        ("a:\n\tb: 1\n", "f.yaml:2:1: found a tab; YAML is indented with spaces"),
        ("a: @b", "f.yaml:1:4: found '@' at the start of a value; quote the value"),
        ("title: this: that", "f.yaml:1:12: found ': ' inside a value; quote a value"),
        ("a: [1, 2\nb: 3\n", "f.yaml:2:2: "),
        ("a: 'b\n", "that begins in line 1"),
        ("a: *nowhere", "undefined alias"),
        ("a: b\x07", "f.yaml:1:5: found the character U+0007"),
        ("a: \ud800", "found the character U+D800"),
        ("a: " + "[" * 10_000, "too deep"),
        ("a: [" + "1," * (2 * MAX_VALUES) + "1]", "too large"),
        ("a: " + "x" * MAX_BYTES, "f.yaml: the file is too large; at most 256 KiB"),
        ("%YAML 9.9\n---\na: 1\n", "f.yaml:1:1: not YAML"),
    ],
)
def test_what_is_no_document_is_refused_with_its_place(text: str, said: str) -> None:
    assert any(said in problem for problem in refused(text)), refused(text)


def test_a_byte_order_mark_is_no_key() -> None:
    assert read_source("\ufeffa: 1", "f").value == {"a": 1}
