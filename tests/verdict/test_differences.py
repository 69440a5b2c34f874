from __future__ import annotations

from harness.verdict.differences import differences


def test_equal_documents_have_none() -> None:
    document = {"a": [1, {"b": None}], "c": "d"}
    assert list(differences(document, {"a": [1, {"b": None}], "c": "d"})) == []


def test_every_value_that_differs_is_named_by_its_path() -> None:
    before = {"verdict": "passed", "gates": [{"value": 0.99, "line": 4}], "gone": 1, "kept": True}
    after = {
        "verdict": "failed",
        "gates": [{"value": 0.98, "line": 4}, {"value": 1}],
        "kept": True,
        "new": [],
    }
    assert list(differences(before, after)) == [
        'verdict: "passed" became "failed"',
        "gates[0].value: 0.99 became 0.98",
        'gates[1]: nothing became {"value": 1}',
        "gone: 1 became nothing",
        "new: nothing became []",
    ]


def test_true_is_not_one_and_a_mapping_is_not_a_list() -> None:
    assert list(differences([True, {}], [1, []])) == ["[0]: true became 1", "[1]: {} became []"]


def test_long_values_are_cut() -> None:
    (line,) = differences("a" * 200, "b")
    assert line.startswith('the document: "aaa')
    assert line.endswith('... became "b"')
    assert len(line) < 120
