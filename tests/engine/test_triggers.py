"""Faults that wait for an event of the system (`when`)."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import ExperimentError, read_experiment, run
from harness.engine.triggers import holds
from harness.verdict.recorded import RecordedRun

TEXT = """\
experiment: at-the-event
title: The shop answers when its second backend is lost as soon as the first one is missed
system: tests.support.toy_system:system
load:
  shoppers: {{arrive: 4/s, for: 30s, mix: fast}}
drain: 20s
timeline:
  - {{at: 8s, for: 6s, fault: crash, target: {{node: backend-east}}}}
  - {{at: 5s, for: 3s, fault: pause, target: {{node: backend-west}}, when: {{event: gateway.retry{condition}}}}}
"""


def read(directory: Path, condition: str = "", text: str = TEXT) -> Path:
    file = directory / "at-the-event.chaos.yaml"
    file.write_text(text.format(condition=condition))
    return file


def test_it_begins_at_the_event_and_lasts_its_time(tmp_path: Path) -> None:
    result = run(read_experiment(read(tmp_path)), reports=tmp_path)
    with RecordedRun(result.run) as recorded:
        ((first_s,),) = recorded.main.query("SELECT min(t_s) FROM events WHERE event = 'gateway.retry'")
        triggered = recorded.metadata.faults[1]
    assert triggered.applied_at_s == pytest.approx(first_s)
    assert triggered.undone_at_s == pytest.approx(first_s + 3.0)
    assert triggered.exposure.touched
    assert result.verdict == "passed"


def test_the_condition_and_the_delay_count(tmp_path: Path) -> None:
    condition = """, where: '"to" = ''backend-west\'\'', after: 500ms"""
    result = run(read_experiment(read(tmp_path, condition)), reports=tmp_path)
    with RecordedRun(result.run) as recorded:
        ((first_s,),) = recorded.main.query("SELECT min(t_s) FROM events WHERE event = 'gateway.retry'")
        assert recorded.metadata.faults[1].applied_at_s == pytest.approx(first_s + 0.5)


def test_an_event_that_does_not_happen_is_inconclusive(tmp_path: Path) -> None:
    result = run(read_experiment(read(tmp_path, """, where: "reason = 'none'" """)), reports=tmp_path)
    assert result.verdict == "inconclusive"
    assert "its event did not happen: gateway.retry" in result.reason


@pytest.mark.parametrize(
    ("condition", "code", "key"),
    [
        ("s", "unknown-name", "event"),
        (", where: 'a >'", "bad-expression", "where"),
        (", where: '(SELECT true)'", "bad-expression", "where"),
        (", unless: x", "unknown-key", "unless"),
    ],
)
def test_mistakes_are_diagnostics_at_their_places(
    tmp_path: Path, condition: str, code: str, key: str
) -> None:
    file = read(tmp_path, condition)
    with pytest.raises(ExperimentError) as raised:
        read_experiment(file)
    (problem,) = raised.value.diagnostics
    assert problem.code == code
    assert file.read_text().splitlines()[problem.line - 1].find(key) < problem.col


def test_it_is_not_repeated(tmp_path: Path) -> None:
    repeated = TEXT.replace("for: 3s", "for: 3s, every: 10s, times: 2")
    with pytest.raises(ExperimentError, match="'every' beside 'when'"):
        read_experiment(read(tmp_path, text=repeated))


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("state = 'open'", True),
        ("state = 'it''s state'", False),
        ("attempt > 2", True),
        ("missing = 1", False),
        ("missing is null and node = 'n'", True),
        ("t_s between 1 and 2", True),
    ],
)
def test_a_condition_over_the_fields_of_an_event(where: str, expected: bool) -> None:
    assert holds(where, "n", 1.5, {"state": "open", "attempt": 3}) is expected
