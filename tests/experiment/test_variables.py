"""Variables: resolved in values, set by options or a declared environment, and gone from what a run keeps."""

from __future__ import annotations

import pytest

from harness.diagnostics import Code
from harness.errors import ExperimentError, UsageError
from harness.experiment.parse import Draft, parse_draft
from harness.experiment.variables import parse_assignments
from harness.faults.catalogue import FAULTS
from harness.gates.registry import gate_kinds

TEXT = """\
experiment: é-loss
title: "Losing ${count} of ${what} nodes, $${not} a variable, ü"
system: streaming
vars:
  rate: 4/s
  count: 2
  what: edge
  span: {env: CHAOS_SPAN, default: 60}
load:
  viewers: {arrive: "${rate}", for: "${span}s", mix: home}
timeline:
  - {at: 10s, for: 5s, fault: crash, target: {role: "${what}", pick: "${count}"}}
gates:
  - slo: playback-success
description: >-
  All ${what}
  nodes
""".replace("é-loss", "e-loss")


def draft(text: str = TEXT, **given: str) -> Draft:
    return parse_draft(text, "a.chaos.yaml", FAULTS, gate_kinds(), given)


def test_values_have_the_types_of_their_variables() -> None:
    experiment = draft().experiment
    assert experiment is not None
    load, (crash,) = experiment.load["viewers"], experiment.timeline
    assert (load.arrive, load.for_) == (4, 60)
    assert (crash.target.role, crash.target.pick) == ("edge", 2)
    assert experiment.title == "Losing 2 of edge nodes, ${not} a variable, ü"
    assert experiment.description == "All edge nodes"


def test_options_go_before_the_environment_and_that_before_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CHAOS_SPAN", "30")
    monkeypatch.setenv("RATE", "9/s")
    from_environment, given = draft(rate="1/m").experiment, draft(span="20").experiment
    assert from_environment is not None
    assert given is not None
    assert from_environment.load["viewers"].expected_clients == 0.5
    assert given.load["viewers"].duration_s == 20
    assert given.load["viewers"].arrive == 4


def test_the_resolved_text_is_the_same_experiment_line_by_line() -> None:
    first = draft(count="1")
    again = draft(first.source.text)
    assert "${what}" not in first.source.text
    assert "vars" not in again.source.value
    assert again.experiment == first.experiment
    assert again.source.mark(("gates", 0)).line == first.source.mark(("gates", 0)).line


@pytest.mark.parametrize(
    ("old", "new", "code", "position"),
    [
        ("${what} nodes,", "${waht} nodes,", Code.UNKNOWN_NAME, "2:8"),
        ("  rate: 4/s\n", "  rate: 4/s\n  more: 1\n", Code.UNUSED, "6:3"),
        ("  rate: 4/s\n", "  rate:\n", Code.EMPTY, "5:3"),
        ("  rate: 4/s\n", "  rate: [4/s]\n", Code.WRONG_TYPE, "5:9"),
        ("rate: 4/s", "rate: 4", Code.BAD_UNIT, "10:21"),
        ("default: 60", "defalt: 60, default: 1", Code.UNKNOWN_KEY, "8:27"),
        ("vars:\n  rate: 4/s", "vars:\n  Rate: 4/s\n  rate: 4/s", Code.BAD_VALUE, "5:3"),
        ('"${rate}"', "${rate}", Code.SYNTAX, "10:22"),
    ],
)
def test_every_mistake_has_its_position(old: str, new: str, code: Code, position: str) -> None:
    assert old in TEXT
    try:
        problems = draft(TEXT.replace(old, new, 1)).problems
    except ExperimentError as error:
        problems = error.diagnostics
    assert (code, position) in [(one.code, f"{one.line}:{one.col}") for one in problems]


def test_assignments_of_a_command_line() -> None:
    assert parse_assignments("--var", ["a=1", "b=x=y", "c="]) == {"a": "1", "b": "x=y", "c": ""}
    with pytest.raises(UsageError):
        parse_assignments("--var", ["a"])
