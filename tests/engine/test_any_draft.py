"""Whatever is wrong with a file, what is understood of it can be held against a system, or against none."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.engine.validate import validate, validate_slos
from harness.errors import ExperimentError
from harness.experiment.parse import parse_draft, parse_slos_draft
from harness.experiment.partial_parse import PLACEHOLDERS
from harness.faults.catalogue import FAULTS
from harness.gates.registry import gate_kinds
from harness.sli.kinds import SLO_KINDS
from harness.system import System
from tests.engine.test_validate import GOOD, SLOS, slos_of
from tests.experiment.test_any_text import QUANTITIES, SNIPPETS, VALUES, WORDS
from tests.support.toy_system import system

NAMES = [
    "shoppers",
    "backend",
    "gateway",
    "east",
    "answered",
    "latency",
    "gateway.retry",
    "all",
    "drain",
    "~",
]


def check(text: str, slos_text: str, system: System | None) -> None:
    try:
        draft, slos = (
            parse_draft(text, "a.chaos.yaml", FAULTS, gate_kinds()),
            parse_slos_draft(slos_text, "slos.yaml", SLO_KINDS),
        )
    except ExperimentError:
        return
    found = [*validate(draft, system, slos_of(slos), None), *validate_slos(slos, system)]
    for one in found:
        # Nothing is reported about a placeholder.
        assert str(PLACEHOLDERS[0]) not in str(one)
        assert "\n" not in str(one)


def mutated(text: str, data: st.DataObject) -> str:
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(len(text), start + 12)))
        parts = ["", *WORDS, *QUANTITIES, *SNIPPETS, *NAMES]
        text = text[:start] + data.draw(st.sampled_from(parts)) + text[end:]
    return text


@pytest.mark.parametrize("of", [system, None], ids=["toy", "none"])
@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_any_change_to_good_files(of: System | None, data: st.DataObject) -> None:
    check(mutated(GOOD, data), mutated(SLOS, data), of)


@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.dictionaries(st.sampled_from([*WORDS, "name", "during"]), VALUES, max_size=6), max_size=3),
    st.sampled_from(["timeline", "gates", "arms"]),
)
def test_any_entries(entries: list[dict[str, Any]], part: str) -> None:
    good = yaml.safe_load(GOOD)
    check(yaml.safe_dump({**good, part: [*good[part], *entries]}, allow_unicode=True), SLOS, system)


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(["timeline", "gates", "arms"]), st.data())
def test_any_value_in_place_of_one(part: str, data: st.DataObject) -> None:
    good = yaml.safe_load(GOOD)
    entry = data.draw(st.sampled_from(good[part]))
    for key in data.draw(st.lists(st.sampled_from(sorted(entry)), min_size=1, max_size=3)):
        entry[key] = data.draw(VALUES | st.sampled_from(NAMES))
    check(yaml.safe_dump(good, allow_unicode=True), SLOS, system)
