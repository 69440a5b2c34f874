"""What does not fit the system is reported before anything starts, each mistake once and at its position."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from harness.diagnostics import Code, Diagnostic
from harness.engine.read import read_experiments
from harness.engine.validate import validate, validate_slos
from harness.errors import ExperimentError
from harness.experiment.parse import SlosDraft, parse_draft, parse_slos_draft
from harness.faults.catalogue import FAULTS
from harness.faults.primitives import Capability
from harness.gates.registry import gate_kinds
from harness.runtime.options import Capabilities, Lack
from harness.sli.base import Slo
from harness.sli.kinds import SLO_KINDS
from harness.system import System
from tests.support.toy_system import system

GOOD = """\
experiment: backend-lost
title: A lost backend costs nobody an answer
system: tests.support.toy_system:system
load:
  shoppers: {arrive: 4/s, for: 60s, mix: all}
timeline:
  - {at: 20s, for: 20s, fault: crash, target: {role: backend, zone: east}}
  - {at: 20s, for: 10s, fault: latency, delay: 50ms, target: {link: {from: gateway, to: {role: backend}}}}
gates:
  - {slo: answered, where: "zone = 'east'"}
  - {slo: latency, during: fault}
  - {event: gateway.retry, within: 5s}
  - {recovered: latency, within: 10s}
arms:
  - {without: gateway.retry, slo: answered}
"""

SLOS = """\
answered:
  protects: everyone is answered
  table: visits
  good: ok
  target: 99%
latency:
  protects: nobody waits
  table: visits
  where: ok
  value: latency_s
  percentile: 95
  at_most: 300ms
  by: group
  at: t_s - latency_s
"""


def changed(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1, f"{old!r} is there {text.count(old)} times"
    return text.replace(old, new)


def slos_of(draft: SlosDraft) -> dict[str, Slo | None]:
    return {name: slo if isinstance(slo, Slo) else None for name, slo in draft.slos.items()}


def problems(
    text: str, slos: str = SLOS, capabilities: Capabilities | None = None, tested: System = system
) -> tuple[Diagnostic, ...]:
    draft = parse_draft(text, "a.chaos.yaml", FAULTS, gate_kinds())
    found = validate(draft, tested, slos_of(parse_slos_draft(slos, "slos.yaml", SLO_KINDS)), capabilities)
    return ExperimentError([*draft.problems, *found]).diagnostics


def slo_problems(text: str) -> tuple[Diagnostic, ...]:
    draft = parse_slos_draft(text, "slos.yaml", SLO_KINDS)
    found = validate_slos(draft, system)
    return ExperimentError([*draft.problems, *found]).diagnostics


def summary(diagnostics: Iterable[Diagnostic]) -> list[tuple[Code, str]]:
    """Each as its code and its position."""
    return [(one.code, f"{one.line}:{one.col}") for one in diagnostics]


def test_a_valid_experiment_has_no_diagnostics() -> None:
    assert problems(GOOD) == ()
    assert slo_problems(SLOS) == ()


@pytest.mark.parametrize(
    ("old", "new", "code", "position"),
    [
        ("  shoppers:", "  shopers:", Code.UNKNOWN_NAME, "5:3"),
        ("mix: all", "mix: al", Code.UNKNOWN_NAME, "5:42"),
        ("at: 20s, for: 20s", "at: 4s, for: 20s", Code.BAD_TIMING, "7:10"),
        ("role: backend, zone: east", "role: backed, zone: east", Code.UNKNOWN_NAME, "7:54"),
        ("role: backend, zone: east", "role: backend, zone: est", Code.UNKNOWN_NAME, "7:69"),
        ("role: backend, zone: east", "node: backend-est", Code.UNKNOWN_NAME, "7:54"),
        ("role: backend, zone: east", "group: fast", Code.NO_MATCH, "7:47"),
        ("role: backend, zone: east", "node: backend-east, zone: west", Code.NO_MATCH, "7:47"),
        ("role: backend, zone: east", "role: backend, pick: 3", Code.NO_MATCH, "7:69"),
        ("role: backend, zone: east", "role: backend, pick: half", Code.BAD_VALUE, "7:69"),
        ("role: backend, zone: east", "pick: 1", Code.EMPTY, "7:47"),
        ("from: gateway", "from: gatway", Code.UNKNOWN_NAME, "8:76"),
        ("to: {role: backend}", "to: {role: bakend}", Code.UNKNOWN_NAME, "8:96"),
        ("{slo: answered, w", "{slo: anwsered, w", Code.UNKNOWN_NAME, "10:11"),
        ("zone = 'east'", "zne = 'east'", Code.BAD_EXPRESSION, "10:28"),
        ("zone = 'east'", "zone", Code.BAD_EXPRESSION, "10:28"),
        ("zone = 'east'", "zone = 'east'; drop table visits", Code.BAD_EXPRESSION, "10:28"),
        ("\"zone = 'east'\"", "ok, target: 100%", Code.OUT_OF_RANGE, "10:40"),
        ("\"zone = 'east'\"", "ok, at_most: 2s", Code.CONFLICT, "10:32"),
        ("during: fault", "target: 99%", Code.CONFLICT, "11:20"),
        ("during: fault", "at_most: 5Mbps", Code.BAD_UNIT, "11:29"),
        ("during: fault", "at_most: soon", Code.BAD_VALUE, "11:29"),
        ("event: gateway.retry", "event: gateway.retri", Code.UNKNOWN_NAME, "12:13"),
        ("recovered: latency", "recovered: latncy", Code.UNKNOWN_NAME, "13:17"),
        ("within: 10s", "within: 2m", Code.BAD_TIMING, "13:34"),
        (
            "  - {slo: latency, during: fault}\n",
            "  - {slo: answered, where: \"zone = 'east'\"}\n",
            Code.DUPLICATE,
            "11:5",
        ),
        ("without: gateway.retry", "without: gatewayretry", Code.UNKNOWN_NAME, "15:15"),
        ("without: gateway.retry", "without: [gateway.retry, gateway.retry]", Code.DUPLICATE, "15:31"),
        ("retry, slo: answered", "retry, slo: answerd", Code.UNKNOWN_NAME, "15:35"),
        ("retry, slo: answered", "retry, slo: answered, where: fast", Code.BAD_EXPRESSION, "15:52"),
    ],
)
def test_one_mistake_is_one_diagnostic(old: str, new: str, code: Code, position: str) -> None:
    assert summary(problems(changed(GOOD, old, new))) == [(code, position)]


UNGATED = GOOD[: GOOD.index("gates:")]
"""Its clients arrive until 60 s and may continue until 120 s."""


@pytest.mark.parametrize(
    ("new", "position"),
    [
        ("at: 120s, for: 20s, fault: crash", "7:10"),
        ("at: 110s, for: 20s, fault: crash", "7:21"),
        ("at: 20s, fault: restart, downtime: 110s", "7:41"),
    ],
)
def test_a_fault_ends_before_the_run(new: str, position: str) -> None:
    text = changed(UNGATED, "at: 20s, for: 20s, fault: crash", new) + "drain: 60s\n"
    assert summary(problems(text)) == [(Code.BAD_TIMING, position)]


@pytest.mark.parametrize("times", ["at: 70s, for: 20s", "at: 50s, for: 20s", "at: 100s, for: 20s"])
def test_a_fault_may_come_after_the_last_arrival_while_clients_continue(times: str) -> None:
    assert [one.code for one in problems(changed(UNGATED, "at: 20s, for: 20s", times))] == [Code.BAD_TIMING]
    assert problems(changed(UNGATED, "at: 20s, for: 20s", times) + "drain: 60s\n") == ()
    with_short_drain = changed(UNGATED, "at: 20s, for: 20s", times) + "drain: 5s\n"
    assert [one.code for one in problems(with_short_drain)] == [Code.BAD_TIMING]


def test_every_mistake_of_a_target_is_reported() -> None:
    text = changed(GOOD, "role: backend, zone: east", "role: backed, zone: est")
    assert summary(problems(text)) == [(Code.UNKNOWN_NAME, "7:54"), (Code.UNKNOWN_NAME, "7:68")]
    text = changed(GOOD, "from: gateway, to: {role: backend}", "from: gatway, to: gatway")
    assert summary(problems(text)) == [(Code.UNKNOWN_NAME, "8:76"), (Code.UNKNOWN_NAME, "8:88")]


@pytest.mark.parametrize("text", [UNGATED, UNGATED + "gates: []\n"])
def test_the_invariants_of_the_system_are_gates_enough(text: str) -> None:
    assert problems(text) == ()


def test_without_invariants_an_experiment_needs_a_gate() -> None:
    bare = replace(system, invariants=())
    assert summary(problems(UNGATED + "gates: []\n", tested=bare)) == [(Code.EMPTY, "9:1")]
    assert summary(problems(UNGATED, tested=bare)) == [(Code.MISSING_KEY, "1:1")]


def test_gates_about_a_fault_need_one() -> None:
    text = GOOD[: GOOD.index("timeline:")] + GOOD[GOOD.index("gates:") :]
    assert summary(problems(text)) == [
        (Code.CONFLICT, "8:28"),
        (Code.CONFLICT, "9:13"),
        (Code.CONFLICT, "10:17"),
    ]


def test_names_and_entries_are_unique() -> None:
    text = changed(GOOD, "fault: crash", "fault: crash, name: a")
    text = changed(text, "fault: latency", "fault: latency, name: a")
    text = changed(text, "{slo: latency, during: fault}", "{slo: latency, during: fault, name: b}")
    text = (
        changed(text, "within: 5s", "within: 5s, name: b") + "  - {without: gateway.retry, slo: answered}\n"
    )
    found = problems(text)
    assert [(one.code, one.line) for one in found] == [
        (Code.DUPLICATE, 8),
        (Code.DUPLICATE, 12),
        (Code.DUPLICATE, 16),
    ]
    assert found[0].found == "duplicate fault name 'a' (first on line 7)"


def test_the_same_fault_at_the_same_time_on_the_same_hosts_is_a_duplicate() -> None:
    line = "  - {at: 20s, for: 20s, fault: crash, target: {role: backend, zone: east}}\n"
    again = line.replace("at: 20s", "at: 30s")
    assert summary(problems(changed(GOOD, line, line + again))) == [(Code.DUPLICATE, "8:5")]
    later = line.replace("at: 20s", "at: 40s")
    assert problems(changed(GOOD, line, line + later)) == ()
    drawn = line.replace("zone: east", "pick: 1")
    assert problems(changed(GOOD, line, drawn + drawn)) == ()


def test_a_fault_that_the_runtime_cannot_apply_is_refused() -> None:
    able = dict.fromkeys((Capability.KILL, Capability.START), "by magic")
    found = problems(GOOD, capabilities=Capabilities(able, {Capability.SHAPE: Lack("no shapes", "buy some")}))
    assert summary(found) == [(Code.UNSUPPORTED, "8:32")]
    assert (found[0].found, found[0].allowed) == ("latency: no shapes", "buy some")
    (without_reason,) = problems(GOOD, capabilities=Capabilities(able))
    assert "no shape" in str(without_reason)


def test_an_arm_needs_a_gate_of_its_slo() -> None:
    text = GOOD.replace("  - {slo: answered, where: \"zone = 'east'\"}\n", "")
    assert summary(problems(text)) == [(Code.CONFLICT, "14:35")]
    recovered = changed(GOOD, "retry, slo: answered", "retry, slo: latency")
    assert problems(changed(recovered, "  - {slo: latency, during: fault}\n", "")) == ()


@pytest.mark.parametrize(
    ("old", "new", "code", "position"),
    [
        ("table: visits\n  good", "table: visit\n  good", Code.UNKNOWN_NAME, "3:10"),
        ("good: ok", "good: okay", Code.BAD_EXPRESSION, "4:9"),
        ("good: ok", "good: latency_s", Code.BAD_EXPRESSION, "4:9"),
        ("good: ok", "good: avg(latency_s) < 1", Code.BAD_EXPRESSION, "4:9"),
        ("target: 99%", "target: 100%", Code.OUT_OF_RANGE, "5:11"),
        ("where: ok", "where: ok = ", Code.BAD_EXPRESSION, "9:10"),
        ("value: latency_s", "value: source", Code.BAD_EXPRESSION, "10:10"),
        ("value: latency_s", "value: latency_ms", Code.BAD_EXPRESSION, "10:10"),
        ("at_most: 300ms", "at_most: 300", Code.BAD_UNIT, "12:12"),
        ("at_most: 300ms", "at_most: 0s", Code.OUT_OF_RANGE, "12:12"),
        ("at_most: 300ms", "at_most: 5Mbps", Code.BAD_UNIT, "12:12"),
        ("by: group", "by: groop", Code.UNKNOWN_NAME, "13:7"),
        ("at: t_s - latency_s", "at: zone", Code.BAD_EXPRESSION, "14:7"),
    ],
)
def test_an_slo_must_be_computable(old: str, new: str, code: Code, position: str) -> None:
    found = summary(slo_problems(changed(SLOS, old, new)))
    assert (code, position) in found
    assert len(found) == 1 or "_ms" in new


@dataclass(frozen=True, slots=True)
class Download:
    t_s: float
    rate_kbps: float
    size_bytes: int


@pytest.mark.parametrize(
    ("value", "at_most", "position"),
    [
        ("rate_kbps", "5Mbps", "4:10"),
        ("size_bytes", "5Mbps", "6:12"),
        ("rate_kbps * 1e3", "5Mbps", None),
        ("size_bytes", "64KB", None),
        ("t_s", "64KB", "6:12"),
    ],
)
def test_a_threshold_is_in_the_unit_of_its_value(value: str, at_most: str, position: str | None) -> None:
    text = f"""\
rate:
  protects: films are sharp
  table: downloads
  value: {value}
  percentile: 95
  at_most: {at_most}
"""
    draft = parse_slos_draft(text, "slos.yaml", SLO_KINDS)
    other = replace(system, tables={"downloads": Download})
    assert summary(validate_slos(draft, other)) == ([(Code.BAD_UNIT, position)] if position else [])


def test_an_slo_on_events_and_the_moments_of_the_faults() -> None:
    text = changed(
        SLOS,
        "table: visits\n  good: ok",
        "table: events\n  good: fields->>'to' <> '' and t_s > fault_start_s",
    )
    assert slo_problems(text) == ()


def load(folder: Path, text: str, slos: str | None = SLOS) -> list[tuple[Code, str]]:
    """The diagnostics of a file as codes and positions, those of its SLOs with the file's name."""
    file = folder / "a.chaos.yaml"
    file.write_text(text, encoding="utf-8")
    if slos is not None:
        (folder / "slos.yaml").write_text(slos, encoding="utf-8")
    try:
        read_experiments([file])
    except ExperimentError as error:
        return [
            (one.code, f"{Path(one.file).name}:{one.line}:{one.col}".removeprefix("a.chaos.yaml:"))
            for one in error.diagnostics
        ]
    return []


def test_a_valid_file_is_read(tmp_path: Path) -> None:
    assert load(tmp_path, GOOD) == []
    (loaded,) = read_experiments([tmp_path / "a.chaos.yaml"])
    assert loaded.gate_lines == (10, 11, 12, 13)
    assert list(loaded.slos) == ["answered", "latency"]


TEN_MISTAKES = """\
experiment: backend-lost
title: A lost backend costs nobody an answer
sytem: nowhere
system: tests.support.toy_system:system
load:
  shoppers: {arrive: 4, for: 60s, mix: all}
timeline:
  - {at: 20s, for: 20s, fault: crash, target: {role: backend, zone: est}}
  - {at: 20s, for: 20s, fault: crahs, target: {role: backend}}
  - {at: 2s, for: 20s, fault: crash, target: {role: backend, pick: 1}}
gates:
  - {slo: answered, where: "zne = 'east'"}
  - {slo: latency, at_most: 300}
  - {slo: latncy}
  - {event: gateway.retry}
arms:
  - {without: gateway.retri, slo: answered}
"""


def test_ten_mistakes_of_all_kinds_are_ten_diagnostics_at_their_lines(tmp_path: Path) -> None:
    found = load(tmp_path, TEN_MISTAKES)
    assert found == [
        (Code.UNKNOWN_KEY, "3:1"),
        (Code.BAD_UNIT, "6:22"),
        (Code.UNKNOWN_NAME, "8:69"),
        (Code.UNKNOWN_NAME, "9:32"),
        (Code.BAD_TIMING, "10:10"),
        (Code.BAD_EXPRESSION, "12:28"),
        (Code.BAD_UNIT, "13:29"),
        (Code.UNKNOWN_NAME, "14:11"),
        (Code.MISSING_KEY, "15:5"),
        (Code.UNKNOWN_NAME, "17:15"),
    ]


def test_mistakes_in_slos_hide_none_of_the_experiment(tmp_path: Path) -> None:
    found = load(tmp_path, changed(GOOD, "mix: all", "mix: al"), changed(SLOS, "good: ok", "good: okay"))
    assert found == [
        (Code.UNKNOWN_NAME, "5:42"),
        (Code.BAD_EXPRESSION, "slos.yaml:4:9"),
    ]
    broken = load(tmp_path, changed(GOOD, "mix: all", "mix: al"), SLOS + "more: [")
    assert broken == [(Code.UNKNOWN_NAME, "5:42"), (Code.SYNTAX, "slos.yaml:16:1")]


def test_thousands_of_gates_are_compared_in_seconds(tmp_path: Path) -> None:
    """Comparing each gate with each takes minutes."""
    gates = "".join(f"  - {{slo: answered, target: {10 + number / 100:.2f}%}}\n" for number in range(3_000))
    text = (
        GOOD[: GOOD.index("gates:")]
        + "gates:\n"
        + gates
        + "  - {slo: answered, target: 10.07%, name: again}\n"
    )
    began_s = time.process_time()
    found = load(tmp_path, text)
    assert [code for code, _ in found] == [Code.DUPLICATE]
    assert time.process_time() - began_s < 10


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("role: backend", "role: backend, zone: ~"),
        ("slo: answered", "slo: answered, where: ~"),
        ("mix: all", "mix: all, workload: null"),
    ],
)
def test_null_is_refused_where_it_would_mean_any(tmp_path: Path, old: str, new: str) -> None:
    assert old in GOOD
    assert Code.EMPTY in [code for code, _ in load(tmp_path, GOOD.replace(old, new, 1))]


def test_a_name_longer_than_file_systems_allow_is_refused(tmp_path: Path) -> None:
    assert load(tmp_path, changed(GOOD, "experiment: backend-lost", f"experiment: {'a' * 300}")) == [
        (Code.OUT_OF_RANGE, "1:13")
    ]


@pytest.mark.parametrize(
    ("old", "new", "hint"),
    [
        ("for: 20s", "duration: 20s", "did you mean 'for'?"),
        ("slo: answered", "slo: latency, at_most: 2000", "did you mean 2000ms?"),
        ("slo: answered", 'slo: latency, at_most: "2000"', "did you mean 2000ms?"),
    ],
)
def test_hints_lead_to_what_is_valid(tmp_path: Path, old: str, new: str, hint: str) -> None:
    file = tmp_path / "a.chaos.yaml"
    (tmp_path / "slos.yaml").write_text(SLOS, encoding="utf-8")
    file.write_text(GOOD.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ExperimentError) as raised:
        read_experiments([file])
    assert hint in [one.hint for one in raised.value.diagnostics]


EVERY_ENTRY_WRONG_TWICE = """\
experiment: backend-lost
title: Each entry has a mistake of its own and one that only the system knows
system: tests.support.toy_system:system
load:
  shoppers: {arrive: 4, for: 60s, mix: al}
timeline:
  - {at: 20, for: 20s, fault: crash, target: {role: backed, zon: east}}
  - {at: 20m, fault: crash, target: {role: backend, zone: est}}
  - {at: 20s, for: 20s, fault: latncy, delay: 5, target: {link: {from: gatway, to: backend}}}
  - {at: 20s, for: 20s, fault: latency, delay: 5, target: {link: {from: {role: gatway, pik: 1}, to: backend}}}
gates:
  - {slo: answred, during: never}
  - {slo: answered, where: "zne = 'east'", target: 99}
  - {event: gateway.retri, within: 5}
  - {recovered: latncy, within: 5}
arms:
  - {without: gateway.retri, must: fail, slo: answered}
  - {without: [gateway.retry, 7, gateway.fallbak], slo: answered}
"""


def test_the_text_of_many_mistakes(tmp_path: Path) -> None:
    """The one snapshot of sentences: `many_mistakes.txt` has the full output."""
    (tmp_path / "slos.yaml").write_text(changed(SLOS, "good: ok", "good: okay"), encoding="utf-8")
    file = tmp_path / "a.chaos.yaml"
    file.write_text(EVERY_ENTRY_WRONG_TWICE, encoding="utf-8")
    with pytest.raises(ExperimentError) as raised:
        read_experiments([file])
    text = str(raised.value).replace(f"{tmp_path.as_posix()}/", "")
    assert text == Path(__file__).with_name("many_mistakes.txt").read_text(encoding="utf-8").rstrip("\n")


def test_several_mistakes_of_one_entry_are_reported_together(tmp_path: Path) -> None:
    found = load(tmp_path, EVERY_ENTRY_WRONG_TWICE)
    assert found == [
        (Code.BAD_UNIT, "5:22"),
        (Code.UNKNOWN_NAME, "5:40"),
        (Code.BAD_UNIT, "7:10"),
        (Code.UNKNOWN_NAME, "7:53"),
        (Code.UNKNOWN_KEY, "7:61"),
        (Code.MISSING_KEY, "8:5"),
        (Code.BAD_TIMING, "8:10"),
        (Code.UNKNOWN_NAME, "8:59"),
        (Code.UNKNOWN_NAME, "9:32"),
        (Code.BAD_UNIT, "9:47"),
        (Code.UNKNOWN_NAME, "9:72"),
        (Code.BAD_UNIT, "10:48"),
        (Code.UNKNOWN_NAME, "10:80"),
        (Code.UNKNOWN_KEY, "10:88"),
        (Code.UNKNOWN_NAME, "12:11"),
        (Code.BAD_VALUE, "12:28"),
        (Code.BAD_EXPRESSION, "13:28"),
        (Code.BAD_UNIT, "13:52"),
        (Code.UNKNOWN_NAME, "14:13"),
        (Code.BAD_UNIT, "14:36"),
        (Code.UNKNOWN_NAME, "15:17"),
        (Code.BAD_UNIT, "15:33"),
        (Code.UNKNOWN_NAME, "17:15"),
        (Code.BAD_VALUE, "17:36"),
        (Code.WRONG_TYPE, "18:31"),
        (Code.UNKNOWN_NAME, "18:34"),
    ]


def test_nothing_is_reported_about_placeholders(tmp_path: Path) -> None:
    text = changed(GOOD, "at: 20s, for: 20s", "at: soon, for: 50s")
    text = changed(text, "{recovered: latency, within: 10s}", "{recovered: latency, within: 9m}")
    assert load(tmp_path, text) == [(Code.BAD_VALUE, "7:10")]
    twice = changed(GOOD, "for: 10s, fault: latency", "for: 10, fault: latency")
    line = next(line for line in GOOD.splitlines() if "fault: latency" in line)
    assert load(tmp_path, changed(twice, "gates:", f"{line}\ngates:")) == [(Code.BAD_UNIT, "8:20")]


def test_a_mistake_in_an_slo_hides_none_of_its_other_mistakes(tmp_path: Path) -> None:
    slos = changed(
        SLOS, "table: visits\n  good: ok\n  target: 99%", "table: visits\n  good: okay\n  target: 99"
    )
    slos = changed(slos, "  percentile: 95\n  at_most: 300ms\n  by: group", "  percentile: p95\n  by: groop")
    text = changed(GOOD, "zone = 'east'", "zne = 'east'")
    found = load(tmp_path, text, slos)
    assert found == [
        (Code.BAD_EXPRESSION, "10:28"),
        (Code.BAD_EXPRESSION, "slos.yaml:4:9"),
        (Code.BAD_UNIT, "slos.yaml:5:11"),
        (Code.MISSING_KEY, "slos.yaml:6:1"),
        (Code.WRONG_TYPE, "slos.yaml:11:15"),
        (Code.UNKNOWN_NAME, "slos.yaml:12:7"),
    ]


def test_a_wrong_system_hides_no_mistake_that_needs_no_system(tmp_path: Path) -> None:
    text = changed(GOOD, "tests.support.toy_system:system", "tests.support.toy_system:sytem")
    text = changed(text, "at: 20s, for: 20s", "at: 2s, for: 20s")
    text = changed(text, "{slo: latency, during: fault}", "{slo: latncy, during: fault}")
    slos = changed(SLOS, "target: 99%", "target: 100%")
    found = load(tmp_path, text, slos)
    assert found == [
        (Code.BAD_SYSTEM, "3:9"),
        (Code.BAD_TIMING, "7:10"),
        (Code.UNKNOWN_NAME, "11:11"),
        (Code.OUT_OF_RANGE, "slos.yaml:5:11"),
    ]


def test_a_misspelt_system_is_the_one_that_the_rest_is_checked_against(tmp_path: Path) -> None:
    text = """\
experiment: edge-lost
title: An edge is lost
system: streeming
load:
  viewers: {arrive: 4/s, for: 60s, mix: hom}
gates:
  - {slo: starts}
"""
    slos = "starts: {protects: films, table: sesions, good: ok, target: 99%}\n"
    assert load(tmp_path, text, slos) == [
        (Code.UNKNOWN_NAME, "3:9"),
        (Code.UNKNOWN_NAME, "5:41"),
        (Code.UNKNOWN_NAME, "slos.yaml:1:34"),
    ]


def test_a_missing_file_of_slos_is_one_diagnostic(tmp_path: Path) -> None:
    assert load(tmp_path, GOOD, None) == [(Code.UNREADABLE, "0:0")]


def test_an_unknown_system_is_reported_where_it_is_named(tmp_path: Path) -> None:
    text = changed(GOOD, "tests.support.toy_system:system", "streeming")
    assert load(tmp_path, text) == [(Code.UNKNOWN_NAME, "3:9")]
