"""Whatever is written, what comes back is a draft or a ExperimentError whose every word is about the text."""

from __future__ import annotations

from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.diagnostics import Diagnostic
from harness.errors import ExperimentError
from harness.experiment.parse import parse_draft, parse_slos_draft
from harness.faults.catalogue import FAULTS
from harness.gates.registry import gate_kinds
from harness.sli.kinds import SLO_KINDS
from tests.experiment.support import GOOD, SLOS

WORDS = [
    "slo",
    "event",
    "recovered",
    "load",
    "gates",
    "arms",
    "timeline",
    "fault",
    "crash",
    "latency",
    "reset",
]
WORDS += ["at", "for", "target", "link", "from", "to", "role", "pick", "delay", "within", "where", "without"]
WORDS += ["viewers", "arrive", "mix", "good", "bad", "value", "percentile", "at_most", "protects", "table"]
QUANTITIES = ["5s", "1m30s", "60", "5", "-1", "0.5", "99.9%", "4/s", "5Mbps", "~", "true", ".inf", ".nan"]
SNIPPETS = [": ", "- ", "\n", "  ", *"{}[],&*!|#'\"", "\t", "? ", "&a ", "*a", "!!int "]

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from([*QUANTITIES, *WORDS])
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=3), inner, max_size=6)
    ),
    max_leaves=25,
)


def check(text: str) -> None:
    for problems in (_problems_of_experiment(text), _problems_of_slos(text)):
        lines = len(text.splitlines()) + 1
        for problem in problems:
            assert problem.found
            assert 0 <= problem.line <= lines
            assert (problem.line == 0) == (problem.col == 0)
            text_of_problem = str(problem)
            assert "\n" not in text_of_problem
            # What is quoted of the text itself may be anything.
            assert all(
                jargon not in text_of_problem or jargon in text
                for jargon in ("pydantic", "Input should", "Traceback", "errors.py")
            )
        assert len(set(problems)) == len(problems)


def _diagnostics(error: ExperimentError) -> tuple[Diagnostic, ...]:
    assert error.diagnostics, "an error that says nothing"
    return error.diagnostics


def _problems_of_experiment(text: str) -> tuple[Diagnostic, ...]:
    try:
        draft = parse_draft(text, "a.chaos.yaml", FAULTS, gate_kinds())
    except ExperimentError as error:
        return _diagnostics(error)
    assert (draft.experiment is None) == bool(draft.problems)
    return draft.problems


def _problems_of_slos(text: str) -> tuple[Diagnostic, ...]:
    try:
        draft = parse_slos_draft(text, "slos.yaml", SLO_KINDS)
    except ExperimentError as error:
        return _diagnostics(error)
    assert bool(draft.problems) or all(slo is not None for slo in draft.slos.values())
    return draft.problems


@settings(deadline=None, max_examples=200)
@given(st.text(alphabet=st.characters(codec=None), max_size=80))
def test_any_characters(text: str) -> None:
    check(text)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.sampled_from([*WORDS, *QUANTITIES, *SNIPPETS]), max_size=40))
def test_any_sequence_of_what_yaml_is_made_of(parts: list[str]) -> None:
    check("".join(parts))


@settings(deadline=None, max_examples=200)
@given(st.dictionaries(st.sampled_from(WORDS), VALUES, max_size=8))
def test_any_structure(value: dict[str, Any]) -> None:
    check(yaml.safe_dump(value, allow_unicode=True))


@settings(deadline=None, max_examples=300)
@given(st.sampled_from([GOOD, SLOS]), st.data())
def test_any_change_to_a_good_file(text: str, data: st.DataObject) -> None:
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(len(text), start + 12)))
        text = text[:start] + data.draw(st.sampled_from(["", *WORDS, *QUANTITIES, *SNIPPETS])) + text[end:]
    check(text)
