"""What does not fit the system is told before anything starts, each mistake once and at its place."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from harness.engine.load import load_experiments
from harness.engine.validate import validate, validate_slos
from harness.errors import ExperimentError
from harness.experiment.parse import parse_draft, parse_slos_draft
from harness.faults.capability import Capability
from harness.faults.catalogue import FAULTS
from harness.runtime.capabilities import Capabilities, Lack
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


def problems(text: str, slos: str = SLOS, capabilities: Capabilities | None = None) -> list[str]:
    draft = parse_draft(text, "a.chaos.yaml", FAULTS)
    found = validate(draft, system, parse_slos_draft(slos, "slos.yaml").slos, capabilities)
    return [str(problem) for problem in ExperimentError([*draft.problems, *found]).diagnostics]


def slo_problems(text: str) -> list[str]:
    draft = parse_slos_draft(text, "slos.yaml")
    found = validate_slos(draft, system)
    return [str(problem) for problem in ExperimentError([*draft.problems, *found]).diagnostics]


def test_what_makes_sense_is_left_alone() -> None:
    assert problems(GOOD) == []
    assert slo_problems(SLOS) == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        # load
        (
            "  shoppers:",
            "  shopers:",
            "5:3: no workload 'shopers' in system toy; there is shoppers; did you mean",
        ),
        (
            "mix: all",
            "mix: al",
            "5:42: no mix 'al' in workload shoppers; there is all, fast, slow; did you mean",
        ),
        # when
        (
            "at: 20s, for: 20s",
            "at: 4s, for: 20s",
            "7:10: crash begins at 4s; the steady state before it needs 5s",
        ),
        ("at: 20s, for: 20s", "at: 60s, for: 20s", "7:10: crash begins at 60s, when nobody arrives any more"),
        ("at: 20s, for: 20s", "at: 50s, for: 20s", "7:20: crash lasts until 70s; the load ends at 60s"),
        # where
        (
            "role: backend, zone: east",
            "role: backed, zone: east",
            "7:54: no role 'backed' in system toy; it has",
        ),
        (
            "role: backend, zone: east",
            "role: backend, zone: est",
            "7:69: no zone 'est' in system toy; it has east",
        ),
        (
            "role: backend, zone: east",
            "node: backend-est",
            "7:54: no node 'backend-est' in system toy; it has",
        ),
        ("role: backend, zone: east", "group: fast", "7:47: {group: fast} holds clients only"),
        (
            "role: backend, zone: east",
            "node: backend-east, zone: west",
            "7:47: {zone: west, node: backend-east}",
        ),
        (
            "role: backend, zone: east",
            "role: backend, pick: 3",
            "7:69: pick: 3 of 2 (backend-east, backend-west)",
        ),
        ("role: backend, zone: east", "role: backend, pick: half", "7:69: found pick: half"),
        ("role: backend, zone: east", "pick: 1", "7:47: the target says nothing"),
        ("from: gateway", "from: gatway", "8:76: no role 'gatway' in system toy; it has gateway, backend"),
        ("to: {role: backend}", "to: {role: bakend}", "8:96: no role 'bakend' in system toy"),
        # gates
        (
            "{slo: answered, w",
            "{slo: anwsered, w",
            "10:11: no SLO 'anwsered'; there is answered, latency; did you",
        ),
        ("zone = 'east'", "zne = 'east'", "no column 'zne'; the table has t_s, client, zone"),
        ("zone = 'east'", "zone", '10:28: "zone": is text; it must be true or false'),
        (
            "zone = 'east'",
            "zone = 'east'; drop table visits",
            "10:28: \"zone = 'east'; drop table visits\": is not",
        ),
        (
            "\"zone = 'east'\"",
            "ok, target: 100%",
            "10:40: the target is 100%; more than 0% and less than 100%",
        ),
        ("\"zone = 'east'\"", "ok, at_most: 2s", "10:32: answered is a ratio; its limit is a target"),
        (
            "during: fault",
            "target: 99%",
            "11:20: latency is a percentile; its limit is at_most, such as at_most",
        ),
        ("during: fault", "at_most: 5Mbps", "11:29: '5Mbps' is in bps; 'latency_s' is in s, such as 1s"),
        ("during: fault", "at_most: soon", "11:29: found 'soon'; expected a duration, bit rate"),
        (
            "event: gateway.retry",
            "event: gateway.retri",
            "12:13: no event 'gateway.retri' in system toy; there is",
        ),
        (
            "recovered: latency",
            "recovered: latncy",
            "13:17: no SLO 'latncy'; there is answered, latency; did you",
        ),
        ("within: 10s", "within: 2m", "13:34: this gate looks from 160s on; the run is over at 120s"),
        (
            "  - {slo: latency, during: fault}\n",
            "  - {slo: answered, where: \"zone = 'east'\"}\n",
            "line 10 again",
        ),
        # arms
        (
            "without: gateway.retry",
            "without: gatewayretry",
            "15:15: no safeguard 'gatewayretry' in system toy",
        ),
        (
            "without: gateway.retry",
            "without: [gateway.retry, gateway.retry]",
            "15:31: 'gateway.retry' is given",
        ),
        ("retry, slo: answered", "retry, slo: answerd", "15:35: no SLO 'answerd'; there is answered"),
        ("retry, slo: answered", "retry, slo: answered, where: fast", "no column 'fast'; the table has t_s"),
    ],
)
def test_one_mistake_is_one_diagnostic(old: str, new: str, said: str) -> None:
    found = problems(changed(GOOD, old, new))
    assert len(found) == 1, found
    assert said in found[0]


def test_a_restart_that_outlasts_the_load_and_takes_no_for() -> None:
    text = changed(GOOD, "at: 20s, for: 20s, fault: crash", "at: 20s, fault: restart, downtime: 50s")
    assert [one.partition(":")[2] for one in problems(text)] == [
        "7:41: restart lasts until 70s; the load ends at 60s; end the fault earlier or load longer"
    ]


def test_several_mistakes_in_one_target_are_all_told() -> None:
    text = changed(GOOD, "role: backend, zone: east", "role: backed, zone: est")
    assert [one.split("; ")[0].partition(":")[2] for one in problems(text)] == [
        "7:54: no role 'backed' in system toy",
        "7:68: no zone 'est' in system toy",
    ]


def test_an_experiment_without_gates_proves_nothing() -> None:
    text = GOOD[: GOOD.index("gates:")] + "gates: []\n"
    assert [one.partition(":")[2] for one in problems(text)] == [
        "9:1: there is no gate; an experiment without one proves nothing"
    ]
    missing = GOOD[: GOOD.index("gates:")]
    assert len(problems(missing)) == 1


def test_gates_about_a_fault_need_one() -> None:
    text = GOOD[: GOOD.index("timeline:")] + GOOD[GOOD.index("gates:") :]
    found = problems(text)
    assert len(found) == 3
    assert all("this gate is about a fault, and there is none" in one for one in found)


def test_names_are_unique_and_nothing_is_said_twice() -> None:
    text = changed(GOOD, "fault: crash", "fault: crash, name: a")
    text = changed(text, "fault: latency", "fault: latency, name: a")
    text = changed(text, "{slo: latency, during: fault}", "{slo: latency, during: fault, name: b}")
    text = (
        changed(text, "within: 5s", "within: 5s, name: b") + "  - {without: gateway.retry, slo: answered}\n"
    )
    assert [one.partition(": ")[2] for one in problems(text)] == [
        "a fault 'a' is there already, in line 7; names are unique",
        "a gate 'b' is there already, in line 11; names are unique",
        "this is the arm of line 15 again; remove one",
    ]


def test_the_same_fault_at_the_same_time_on_the_same_hosts_is_one_too_many() -> None:
    line = "  - {at: 20s, for: 20s, fault: crash, target: {role: backend, zone: east}}\n"
    again = line.replace("at: 20s", "at: 30s")
    assert "this is the fault of line 7, on the same target" in problems(changed(GOOD, line, line + again))[0]
    later = line.replace("at: 20s", "at: 40s")
    assert problems(changed(GOOD, line, line + later)) == []
    drawn = line.replace("zone: east", "pick: 1")
    assert problems(changed(GOOD, line, drawn + drawn)) == []


def test_a_runtime_that_cannot_do_it_is_refused() -> None:
    able = dict.fromkeys((Capability.KILL, Capability.START), "by magic")
    found = problems(GOOD, capabilities=Capabilities(able, {Capability.SHAPE: Lack("no shapes", "buy some")}))
    assert [one.partition(":")[2] for one in found] == ["8:32: latency: no shapes; buy some"]
    (without_reason,) = problems(GOOD, capabilities=Capabilities(able))
    assert "no shape" in without_reason


def test_an_arm_needs_a_gate_of_its_slo() -> None:
    text = GOOD.replace("  - {slo: answered, where: \"zone = 'east'\"}\n", "")
    (found,) = problems(text)
    assert "no gate of this experiment is about answered; its gates are about latency" in found
    recovered = changed(GOOD, "retry, slo: answered", "retry, slo: latency")
    assert problems(changed(recovered, "  - {slo: latency, during: fault}\n", "")) == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "table: visits\n  good",
            "table: visit\n  good",
            "3:10: no table 'visit' in system toy; there is visits",
        ),
        ("good: ok", "good: okay", "4:9: \"okay\": no column 'okay'; the table has t_s, client"),
        ("good: ok", "good: latency_s", '4:9: "latency_s": is a number; it must be true or false'),
        ("good: ok", "good: avg(latency_s) < 1", "aggregates"),
        ("target: 99%", "target: 100%", "5:11: the target is 100%; more than 0% and less than 100%"),
        ("where: ok", "where: ok = ", '9:10: "ok =": is not an SQL expression'),
        ("value: latency_s", "value: source", '10:10: "source": is text; it must be a number'),
        ("value: latency_s", "value: latency_ms", "no column 'latency_ms'"),
        ("at_most: 300ms", "at_most: 300", "12:12: found 300; expected text"),
        ("at_most: 300ms", "at_most: 0s", "12:12: the limit is '0s'; it must be more than 0"),
        ("at_most: 300ms", "at_most: 5Mbps", "12:12: '5Mbps' is in bps; 'latency_s' is in s, such as 1s"),
        ("by: group", "by: groop", "13:7: no column 'groop' in table visits; there is t_s, client"),
        ("at: t_s - latency_s", "at: zone", '14:7: "zone": is text; it must be a number'),
    ],
)
def test_an_slo_must_be_computable(old: str, new: str, said: str) -> None:
    found = slo_problems(changed(SLOS, old, new))
    assert any(said in one for one in found), found
    assert len(found) == 1 or "_ms" in new


@dataclass(frozen=True, slots=True)
class Download:
    t_s: float
    rate_kbps: float
    size_bytes: int


@pytest.mark.parametrize(
    ("value", "at_most", "said"),
    [
        (
            "rate_kbps",
            "5Mbps",
            "4:10: 'rate_kbps' is not in bit/s, as its limit is; write value: rate_kbps * 1e3",
        ),
        ("size_bytes", "5Mbps", "6:12: '5Mbps' is in bps; 'size_bytes' is in bytes, such as 1B"),
        ("rate_kbps * 1e3", "5Mbps", ""),
        ("size_bytes", "64KB", ""),
        ("t_s", "64KB", "6:12: '64KB' is in bytes; 't_s' is in s, such as 1s"),
    ],
)
def test_a_limit_is_in_the_unit_of_what_is_measured(value: str, at_most: str, said: str) -> None:
    text = f"""\
rate:
  protects: films are sharp
  table: downloads
  value: {value}
  percentile: 95
  at_most: {at_most}
"""
    draft = parse_slos_draft(text, "slos.yaml")
    other = replace(system, tables={"downloads": Download})
    found = [str(one) for one in validate_slos(draft, other)]
    assert found == ([f"slos.yaml:{said}"] if said else [])


def test_an_slo_on_events_and_the_moments_of_the_faults() -> None:
    text = changed(
        SLOS,
        "table: visits\n  good: ok",
        "table: events\n  good: fields->>'to' <> '' and t_s > fault_start_s",
    )
    assert slo_problems(text) == []


def load(folder: Path, text: str, slos: str | None = SLOS) -> list[str]:
    """The diagnostics of a file, without its folder."""
    file = folder / "a.chaos.yaml"
    file.write_text(text, encoding="utf-8")
    if slos is not None:
        (folder / "slos.yaml").write_text(slos, encoding="utf-8")
    try:
        load_experiments([file])
    except ExperimentError as error:
        return [str(one).replace(f"{folder.as_posix()}/", "") for one in error.diagnostics]
    return []


def test_a_file_that_is_right_is_loaded(tmp_path: Path) -> None:
    assert load(tmp_path, GOOD) == []
    (loaded,) = load_experiments([tmp_path / "a.chaos.yaml"])
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
    assert [one.split(";")[0] for one in found] == [
        "a.chaos.yaml:3:1: found the key 'sytem'",
        "a.chaos.yaml:6:22: 4 needs a unit",
        "a.chaos.yaml:8:69: no zone 'est' in system toy",
        "a.chaos.yaml:9:32: found the fault 'crahs'",
        "a.chaos.yaml:10:10: crash begins at 2s",
        "a.chaos.yaml:12:28: \"zne = 'east'\": no column 'zne'",
        "a.chaos.yaml:13:29: found 300",
        "a.chaos.yaml:14:11: no SLO 'latncy'",
        "a.chaos.yaml:15:5: this gate has no 'within'",
        "a.chaos.yaml:17:15: no safeguard 'gateway.retri' in system toy",
    ]


def test_mistakes_in_slos_hide_none_of_the_experiment(tmp_path: Path) -> None:
    found = load(tmp_path, changed(GOOD, "mix: all", "mix: al"), changed(SLOS, "good: ok", "good: okay"))
    assert [one.split(";")[0] for one in found] == [
        "a.chaos.yaml:5:42: no mix 'al' in workload shoppers",
        "slos.yaml:4:9: \"okay\": no column 'okay'",
    ]
    broken = load(tmp_path, changed(GOOD, "mix: all", "mix: al"), SLOS + "more: [")
    assert [one.partition(":")[0] for one in broken] == ["a.chaos.yaml", "slos.yaml"]


EVERY_ENTRY_WRONG_TWICE = """\
experiment: backend-lost
title: Each entry has a mistake of its own and one that only the system knows
system: tests.support.toy_system:system
load:
  shoppers: {arrive: 4, for: 60s, mix: al}
timeline:
  - {at: 20, for: 20s, fault: crash, target: {role: backed, zon: east}}
  - {at: 70s, fault: crash, target: {role: backend, zone: est}}
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


def test_no_mistake_waits_behind_another_one_of_its_entry(tmp_path: Path) -> None:
    found = load(tmp_path, EVERY_ENTRY_WRONG_TWICE)
    assert [one.split(";")[0].removeprefix("a.chaos.yaml:") for one in found] == [
        "5:22: 4 needs a unit",
        "5:40: no mix 'al' in workload shoppers",
        "7:10: 20 needs a unit",
        "7:53: no role 'backed' in system toy",
        "7:61: found the key 'zon'",
        "8:5: crash has no 'for'",
        "8:10: crash begins at 70s, when nobody arrives any more",
        "8:59: no zone 'est' in system toy",
        "9:32: found the fault 'latncy'",
        "9:72: no role 'gatway' in system toy",
        "10:48: 5 needs a unit",
        "10:80: no role 'gatway' in system toy",
        "10:88: found the key 'pik'",
        "12:11: no SLO 'answred'",
        "12:28: found 'never'",
        "13:28: \"zne = 'east'\": no column 'zne'",
        "13:52: 99 needs a unit",
        "14:13: no event 'gateway.retri' in system toy",
        "14:36: 5 needs a unit",
        "15:17: no SLO 'latncy'",
        "15:33: 5 needs a unit",
        "17:15: no safeguard 'gateway.retri' in system toy",
        "17:36: found 'fail'",
        "18:31: found 7",
        "18:34: no safeguard 'gateway.fallbak' in system toy",
    ]


def test_what_only_stands_in_for_a_mistake_is_never_complained_of(tmp_path: Path) -> None:
    text = changed(GOOD, "at: 20s, for: 20s", "at: soon, for: 50s")
    text = changed(text, "{recovered: latency, within: 10s}", "{recovered: latency, within: 9m}")
    (found,) = load(tmp_path, text)
    assert "found 'soon'" in found
    twice = changed(GOOD, "for: 10s, fault: latency", "for: 10, fault: latency")
    line = next(line for line in GOOD.splitlines() if "fault: latency" in line)
    (found,) = load(tmp_path, changed(twice, "gates:", f"{line}\ngates:"))
    assert "10 needs a unit" in found


def test_a_mistake_in_an_slo_hides_none_of_its_other_mistakes(tmp_path: Path) -> None:
    slos = changed(
        SLOS, "table: visits\n  good: ok\n  target: 99%", "table: visits\n  good: okay\n  target: 99"
    )
    slos = changed(slos, "  percentile: 95\n  at_most: 300ms\n  by: group", "  percentile: p95\n  by: groop")
    text = changed(GOOD, "zone = 'east'", "zne = 'east'")
    found = load(tmp_path, text, slos)
    assert [one.split(";")[0] for one in found] == [
        "a.chaos.yaml:10:28: \"zne = 'east'\": no column 'zne'",
        "slos.yaml:4:9: \"okay\": no column 'okay'",
        "slos.yaml:5:11: 99 needs a unit",
        "slos.yaml:6:1: 'latency' has no 'at_most'",
        "slos.yaml:11:15: found 'p95'",
        "slos.yaml:12:7: no column 'groop' in table visits",
    ]


def test_a_wrong_system_hides_nothing_that_can_be_known_without_it(tmp_path: Path) -> None:
    text = changed(GOOD, "tests.support.toy_system:system", "tests.support.toy_system:sytem")
    text = changed(text, "at: 20s, for: 20s", "at: 2s, for: 20s")
    text = changed(text, "{slo: latency, during: fault}", "{slo: latncy, during: fault}")
    slos = changed(SLOS, "target: 99%", "target: 100%")
    found = load(tmp_path, text, slos)
    assert [one.split(";")[0] for one in found] == [
        "a.chaos.yaml:3:9: system 'tests.support.toy_system:sytem': module 'tests.support.toy_system' "
        "has no attribute 'sytem'",
        "a.chaos.yaml:7:10: crash begins at 2s",
        "a.chaos.yaml:11:11: no SLO 'latncy'",
        "slos.yaml:5:11: the target is 100%",
    ]


def test_the_rest_is_held_against_the_system_that_a_misspelt_name_means(tmp_path: Path) -> None:
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
    assert [one.split(";")[0] for one in load(tmp_path, text, slos)] == [
        "a.chaos.yaml:3:9: no system 'streeming'",
        "a.chaos.yaml:5:41: no mix 'hom' in workload viewers",
        "slos.yaml:1:34: no table 'sesions' in system streaming",
    ]


def test_a_missing_file_of_slos_is_one_diagnostic(tmp_path: Path) -> None:
    assert load(tmp_path, GOOD, None) == [
        "a.chaos.yaml: found no slos.yaml beside it or above it; it defines the SLOs that the gates use"
    ]


def test_an_unknown_system_is_told_where_it_is_named(tmp_path: Path) -> None:
    (found,) = load(tmp_path, changed(GOOD, "tests.support.toy_system:system", "streeming"))
    assert found.startswith("a.chaos.yaml:3:9: ")
    assert "streaming" in found
