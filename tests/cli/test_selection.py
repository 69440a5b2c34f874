"""`-k` and `--tag`: what is selected, and what is said of the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cli.matching import Selection
from harness.errors import UsageError
from tests.cli.support import call


@pytest.mark.parametrize(
    ("expression", "tags", "selected"),
    [
        ("", (), True),
        ("edge", (), True),
        ("EDGE and isp", (), True),
        ("storage", (), False),
        ("not storage", (), True),
        ("storage or (edge and not slow)", (), True),
        ("not (edge or storage)", (), False),
        ("delivery and edge-loss", (), True),
        ("", ("delivery",), True),
        ("", ("deliver",), False),
        ("", ("delivery", "slow"), False),
        ("", ("delivery", "not slow"), True),
        ("", ("not delivery",), False),
        ("storage", ("delivery",), False),
    ],
)
def test_what_is_selected(expression: str, tags: tuple[str, ...], selected: bool) -> None:
    reason = Selection(expression, tags).reason("edge-loss", ("delivery", "isp"))
    assert (reason is None) == selected


@pytest.mark.parametrize("expression", ["and", "edge or", "(edge", "edge)", "not", "edge storage"])
def test_an_expression_that_is_not_one(expression: str) -> None:
    with pytest.raises(UsageError):
        Selection(expression).reason("edge-loss", ())


def text(name: str, tags: str) -> str:
    return f"""\
experiment: {name}
title: It answers
system: tests.support.toy_system:system
tags: [{tags}]
load: {{shoppers: {{arrive: 4/s, for: 20s, mix: all}}}}
gates: [{{slo: answered}}]
"""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    (tmp_path / "slos.yaml").write_text(
        "answered: {protects: answers, table: visits, good: ok, target: 90%}\n", encoding="utf-8"
    )
    for name, tags in (("one", "fast"), ("two", "fast, nightly"), ("three", "nightly")):
        (tmp_path / f"{name}.chaos.yaml").write_text(text(name, tags), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("command", ["validate", "plan"])
def test_what_is_left_out_is_listed(suite: Path, command: str) -> None:
    called = call(command, suite, "--tag", "fast", "-k", "not two")
    assert called.code == 0
    assert sum(line.startswith("left out: ") for line in called.out.splitlines()) == 2
    assert "left out: two" in called.out


@pytest.mark.parametrize("options", [("--tag", "weekly"), ("-k", "four")])
def test_nothing_selected_is_no_pass(suite: Path, options: tuple[str, str]) -> None:
    for command in ("run", "plan", "validate"):
        called = call(command, suite, *options, "--json")
        assert (called.code, called.document["verdict"]) == (5, "empty")


def test_a_run_of_the_selected(suite: Path) -> None:
    called = call("run", suite, "-k", "three", "--jobs", 1, "--reports", suite / "reports", "--json")
    assert [one["name"] for one in called.document["experiments"]] == ["three"]
    assert [one["name"] for one in called.document["left_out"]] == ["one", "two"]
