from __future__ import annotations

from pathlib import Path

import pytest

from harness.diagnostics import Code
from harness.errors import ExperimentError
from harness.experiment.model import LinkSelector, Selector, Target
from harness.experiment.parse import parse_draft, parse_slos, parse_slos_draft, read_text
from harness.experiment.source import Mark
from harness.faults.catalogue import FAULTS
from harness.faults.latency import Latency
from harness.gates.event import EventGate
from harness.gates.recovered import RecoveredGate
from harness.gates.registry import gate_kinds
from harness.gates.slo import SloGate
from harness.sli.kinds import SLO_KINDS
from harness.sli.percentile import PercentileSlo
from harness.sli.ratio import RatioSlo
from tests.experiment.support import FILE, GOOD, SLOS, changed, mistakes, parse, slo_mistakes


def test_a_load_in_stages_and_a_workload_under_a_name() -> None:
    text = changed(
        GOOD,
        "  viewers: {arrive: 4/s, for: 3m, mix: home}\n",
        "  viewers: {mix: home, arrive: [{to: 4/s, for: 1m}, {at: 0/s, for: 30s}, {to: 2/s, for: 10s},"
        " {at: 9/s, for: 2m}]}\n"
        "  zappers: {workload: viewers, arrive: 1/m, for: 2m, mix: zapping}\n",
    )
    loads = parse(text).load
    shape = [(one.from_per_s, one.to_per_s, one.for_s) for one in loads["viewers"].segments]
    assert shape == [(0, 4, 60), (0, 0, 30), (0, 2, 10), (9, 9, 120)]
    assert (loads["viewers"].duration_s, loads["viewers"].expected_clients) == (220, 120 + 10 + 1080)
    assert [loads["viewers"].rate_at(at_s) for at_s in (30, 75, 95, 100, 500)] == [2, 0, 1, 9, 0]
    assert (loads["zappers"].workload_name("zappers"), loads["zappers"].expected_clients) == ("viewers", 2)


@pytest.mark.parametrize(
    ("arrive", "rises_at_s"),
    [
        ("4/s, for: 1m", None),
        ("[{at: 4/s, for: 1m}, {at: 1/s, for: 1m}]", None),
        ("[{at: 4/s, for: 1m}, {to: 9/s, for: 1m}]", 60),
        ("[{at: 4/s, for: 10s}, {at: 1/s, for: 20s}, {at: 5/s, for: 1m}]", 30),
        ("[{to: 4/s, for: 10s}]", 0),
    ],
)
def test_when_a_load_rises(arrive: str, rises_at_s: float | None) -> None:
    text = changed(GOOD, "{arrive: 4/s, for: 3m, mix: home}", f"{{mix: home, arrive: {arrive}}}")
    assert parse(text).load["viewers"].rises_at_s == rises_at_s


@pytest.mark.parametrize(
    ("load", "expected"),
    [
        ("{arrive: 4/s, mix: home}", [(Code.MISSING_KEY, 5)]),
        ("{arrive: [{at: 4/s, for: 10s}], for: 3m, mix: home}", [(Code.CONFLICT, 5)]),
        ("{arrive: [], mix: home}", [(Code.EMPTY, 5)]),
        ("{arrive: [{at: 0/s, for: 10s}, {to: 0/s, for: 1s}], mix: home}", [(Code.OUT_OF_RANGE, 5)]),
        (
            "\n    mix: home\n    arrive:\n    - {at: 4, for: 10s}\n    - {for: 10s}\n"
            "    - {at: 1/s, to: 2/s, for: 1s}\n    - {too: 4/s, for: 1s}\n    - {to: 3/s, for: 0s}\n    - {to: 3/s}",
            [
                (Code.BAD_UNIT, 8),
                (Code.MISSING_KEY, 9),
                (Code.CONFLICT, 10),
                (Code.UNKNOWN_KEY, 11),
                (Code.OUT_OF_RANGE, 12),
                (Code.MISSING_KEY, 13),
            ],
        ),
    ],
)
def test_every_mistake_in_stages_has_its_position(load: str, expected: list[tuple[Code, int]]) -> None:
    text = changed(GOOD, "{arrive: 4/s, for: 3m, mix: home}", load)
    assert [(one.code, one.line) for one in mistakes(text) if one.path[0] == "load"] == [
        (code, line + 1) for code, line in expected
    ]


def test_a_file_becomes_frozen_models_in_base_units() -> None:
    experiment = parse(GOOD)
    assert (experiment.experiment, experiment.system, experiment.tags) == (
        "edge-loss",
        "streaming",
        ("delivery",),
    )
    load = experiment.load["viewers"]
    assert (load.arrive, load.for_, load.mix) == (4.0, 180.0, "home")
    crash, latency, reset = experiment.timeline
    assert (crash.fault, crash.at, crash.for_) == ("crash", 60.0, 60.0)
    assert crash.target == Target(role="edge", zone="isp-a", pick=1)
    assert isinstance(latency, Latency)
    assert (latency.delay, latency.jitter) == (0.2, 0.0)
    assert isinstance(latency.target, Target)
    assert latency.target.link == LinkSelector(from_="edge", to=Selector(role="storage"))
    assert (reset.for_, reset.name) == (None, "cut")
    assert [type(gate) for gate in experiment.gates] == [SloGate, SloGate, EventGate, RecoveredGate]
    assert [arm.safeguards for arm in experiment.arms] == [
        ("player.failover",),
        ("player.retry", "player.abr"),
    ]
    assert [arm.must for arm in experiment.arms] == ["breach", "hold"]
    assert experiment.drain == 60.0
    with pytest.raises(ValueError, match="frozen"):
        experiment.title = "another"  # type: ignore[misc]


def test_later_stages_find_every_position() -> None:
    source = parse_draft(GOOD, FILE, FAULTS, gate_kinds()).source
    assert [source.mark(("gates", index)).line for index in range(4)] == [16, 17, 18, 19]
    assert source.mark(("arms", 1)) == Mark(22, 5)
    assert source.mark(("timeline", 1, "target", "link", "to", "role")) == Mark(13, 44)
    assert source.mark(("load", "viewers", "mix"), key=True) == Mark(6, 35)


TEN_MISTAKES = """\
experiment: Edge Loss
titel: Losing one edge never interrupts playback
system: streaming
load:
  viewers: {arrive: 4, for: 3m, mix: home}
timeline:
  - {at: 60s, for: 1minute, fault: crash, target: {role: edge}}
  - {at: 60s, fault: crash, target: {role: edge}}
  - {at: 60s, for: 60s, fault: craash, target: {role: edge}}
  - at: 90s
    for: 20s
    fault: latency
    delay: 200ms
    at: 95s
    target: {link: {form: edge, to: storage}}
gates:
  - {slo: playback-success, during: faults}
  - playback-success
"""


def test_ten_mistakes_are_ten_diagnostics_at_their_lines() -> None:
    assert [str(mistake) for mistake in mistakes(TEN_MISTAKES)] == [
        f"{FILE}:1:13: found the name 'Edge Loss'; a name has lower-case letters, digits and dashes; "
        "did you mean 'edge-loss'?",
        f"{FILE}:2:1: unknown key 'titel'; allowed: experiment, title, description, system, tags, "
        "order, seed, runtime, vars, targets, load, timeline, gates, abort_if, arms, budget, drain; "
        "did you mean 'title'?",
        f"{FILE}:5:21: 4 needs a unit; allowed: /s, /m, /h; did you mean 4/s?",
        f"{FILE}:7:20: unknown unit 'minute' in '1minute'; allowed: us, ms, s, m, h; did you mean 1m?",
        f"{FILE}:8:5: crash needs 'for'; how long it lasts, for example for: 30s",
        f"{FILE}:9:32: unknown fault 'craash'; allowed: {', '.join(FAULTS)}; did you mean 'crash'?",
        f"{FILE}:14:5: duplicate key 'at' (first on line 10); keep one",
        f"{FILE}:15:21: unknown key 'form'; allowed: from, to; did you mean 'from'?",
        f"{FILE}:17:37: found 'faults'; allowed: all, before, fault, after; did you mean 'fault'?",
        f"{FILE}:18:5: found 'playback-success'; a gate is a mapping such as {{slo: playback-success}}",
    ]


@pytest.mark.parametrize(
    ("old", "new", "code", "position"),
    [
        ("experiment: edge-loss\n", "", Code.MISSING_KEY, "1:1"),
        ("title: Losing", "title: 5 #", Code.WRONG_TYPE, "2:8"),
        ("system: streaming\n", "", Code.MISSING_KEY, "1:1"),
        ("tags: [delivery]", "tags: delivery", Code.WRONG_TYPE, "4:7"),
        ("tags: [delivery]", "tags: [5]", Code.WRONG_TYPE, "4:8"),
        ("tags: [delivery]", "drain: 5", Code.BAD_UNIT, "4:8"),
        ("  viewers: {arrive: 4/s, for: 3m, mix: home}", "", Code.WRONG_TYPE, "5:6"),
        ("  viewers: {arrive: 4/s, for: 3m, mix: home}", "  {}", Code.WRONG_TYPE, "6:3"),
        ("{arrive: 4/s, for: 3m, mix: home}", "4/s", Code.WRONG_TYPE, "6:12"),
        ("arrive: 4/s, ", "", Code.MISSING_KEY, "6:3"),
        ("arrive: 4/s", "arrive: 0/s", Code.OUT_OF_RANGE, "6:21"),
        ("for: 3m", "for: 0s", Code.OUT_OF_RANGE, "6:31"),
        ("mix: home", "mix: on", None, ""),
        ("mix: home", "mix: true", Code.WRONG_TYPE, "6:40"),
        ("at: 60s, for: 60s", "at: 60s, for_: 60s", Code.UNKNOWN_KEY, "8:15"),
        ("at: 60s, for: 60s", "at: 60s, for: ~", Code.MISSING_KEY, "8:20"),
        ("at: 60s, for: 60s", "at: 60s, for: 0s", Code.OUT_OF_RANGE, "8:20"),
        ("fault: crash, ", "", Code.MISSING_KEY, "8:5"),
        ("fault: crash", "fualt: crash", Code.UNKNOWN_KEY, "8:25"),
        ("fault: crash", "fault: 7", Code.UNKNOWN_NAME, "8:32"),
        ("fault: crash", "fault: [crash]", Code.UNKNOWN_NAME, "8:32"),
        ("fault: crash", "fault: power_off", Code.UNKNOWN_NAME, "8:32"),
        ("fault: crash", "fault: restart, downtime: 5s", Code.CONFLICT, "8:15"),
        ("fault: crash", "fault: crash, delay: 5s", Code.UNKNOWN_KEY, "8:39"),
        (", pick: 1", ", pick: 1.5", Code.WRONG_TYPE, "8:79"),
        (", pick: 1", ", pick: true", Code.WRONG_TYPE, "8:79"),
        ("{role: edge, zone: isp-a, pick: 1}", "[edge]", Code.WRONG_TYPE, "8:47"),
        ("{role: edge, zone: isp-a, pick: 1}", "{link: {from: a, to: b}}", Code.CONFLICT, "8:48"),
        (", zone: isp-a", ", zon: isp-a", Code.UNKNOWN_KEY, "8:60"),
        ("    delay: 200ms\n", "", Code.MISSING_KEY, "9:5"),
        ("    delay: 200ms\n", "    dealy: 200ms\n", Code.UNKNOWN_KEY, "12:5"),
        ("    delay: 200ms\n", "    delay: 2ms\n    jitter: 3ms\n", Code.CONFLICT, "13:13"),
        ("from: edge, ", "", Code.MISSING_KEY, "13:14"),
        ("from: edge, ", "from: [edge], ", Code.WRONG_TYPE, "13:27"),
        ("from: edge, ", "from: {rol: edge}, ", Code.UNKNOWN_KEY, "13:28"),
        ("to: {role: storage}", "to: {role: 5}", Code.WRONG_TYPE, "13:44"),
        ("timeline:\n", "timeline: soon\nother2:\n", Code.WRONG_TYPE, "7:11"),
        ("  - slo: playback-success\n", "  - {}\n", Code.MISSING_KEY, "16:5"),
        ("  - slo: playback-success\n", "  - {evnt: x, within: 5s}\n", Code.UNKNOWN_KEY, "16:6"),
        ("slo: startup-time, ", "slo: a, event: b, ", Code.CONFLICT, "17:14"),
        ("during: fault", "durring: fault", Code.UNKNOWN_KEY, "17:58"),
        ("within: 5s", "within: 0s", Code.OUT_OF_RANGE, "18:38"),
        (", within: 5s", "", Code.MISSING_KEY, "18:5"),
        ("gates:\n", "gates: {}\nother2:\n", Code.WRONG_TYPE, "15:8"),
        ("must: hold", "must: holds", Code.BAD_VALUE, "22:49"),
        ("without: player.failover, ", "", Code.MISSING_KEY, "21:5"),
        ("without: player.failover", "without: 5", Code.WRONG_TYPE, "21:15"),
        ("[player.retry, player.abr]", "[player.retry, 7]", Code.WRONG_TYPE, "22:30"),
    ],
)
def test_one_mistake_is_one_diagnostic_at_its_position(
    old: str, new: str, code: Code | None, position: str
) -> None:
    found = mistakes(changed(GOOD, old, new))
    expected = 0 if code is None else 2 if "other2:" in new else 1
    assert len(found) == expected, found
    assert all(jargon not in str(one) for one in found for jargon in ("pydantic", "Input", "validation"))
    if code is not None:
        assert (found[0].code, f"{found[0].line}:{found[0].col}") == (code, position)


def test_a_misspelt_key_is_not_missing_too() -> None:
    (found,) = mistakes(changed(GOOD, "arrive: 4/s", "arive: 4/s"))
    assert found.hint == "did you mean 'arrive'?"


def test_slos_are_ratios_or_percentiles() -> None:
    slos = parse_slos(SLOS, "slos.yaml", SLO_KINDS)
    source = parse_slos_draft(SLOS, "slos.yaml", SLO_KINDS).source
    ratio, percentile = slos["playback-success"], slos["startup-time"]
    assert isinstance(ratio, RatioSlo)
    assert (ratio.good, ratio.target, ratio.at) == ("ok", pytest.approx(0.999), "t_s")
    assert isinstance(percentile, PercentileSlo)
    assert (percentile.value, percentile.percentile, percentile.at_most) == ("startup_s", 95.0, "2s")
    assert source.mark(("startup-time", "at_most")) == Mark(11, 12)


@pytest.mark.parametrize(
    ("old", "new", "code", "position"),
    [
        ("playback-success:", "Playback Success:", Code.BAD_VALUE, "1:1"),
        ("  good: ok\n", "", Code.MISSING_KEY, "1:1"),
        ("  good: ok\n", "  goood: ok\n", Code.UNKNOWN_KEY, "4:3"),
        ("  good: ok\n", "  good: ok\n  bad: not ok\n", Code.CONFLICT, "5:3"),
        ("  good: ok\n", "  good: true\n", Code.WRONG_TYPE, "4:9"),
        ("target: 99.9%", "target: 0.999", Code.BAD_UNIT, "5:11"),
        ("percentile: 95", "percentile: 100", Code.OUT_OF_RANGE, "10:15"),
        ("percentile: 95", "percentile: p95", Code.WRONG_TYPE, "10:15"),
        ("  percentile: 95\n", "", Code.MISSING_KEY, "6:1"),
        ("at_most: 2s", "at_most: 2", Code.BAD_UNIT, "11:12"),
        ("  table: sessions\n  value", "  tabel: sessions\n  value", Code.UNKNOWN_KEY, "8:3"),
    ],
)
def test_mistakes_in_slos(old: str, new: str, code: Code, position: str) -> None:
    (found,) = slo_mistakes(changed(SLOS, old, new))
    assert (found.code, f"{found.line}:{found.col}") == (code, position)


def test_an_slo_is_a_mapping() -> None:
    found = slo_mistakes("a: 99%\nb:\n")
    assert [(one.code, one.line, one.col) for one in found] == [
        (Code.WRONG_TYPE, 1, 4),
        (Code.WRONG_TYPE, 2, 3),
    ]


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"title: caf\xe9\n")
    for name in ("missing.yaml", "latin.yaml"):
        with pytest.raises(ExperimentError) as caught:
            read_text(tmp_path / name, name)
        (one,) = caught.value.diagnostics
        assert (one.code, one.file, one.line) == (Code.UNREADABLE, name, 0)


def test_a_key_that_is_given_is_no_suggestion_for_another() -> None:
    (found,) = mistakes(changed(GOOD, "for: 3m, mix", "for: 3m, foo: 1, mix"))
    assert (found.code, found.hint) == (Code.UNKNOWN_KEY, "")


def test_a_draft_keeps_what_is_right_and_knows_what_is_not() -> None:
    text = changed(GOOD, "at: 60s, for: 60s", "at: 60")
    text = changed(text, "  - slo: playback-success\n", "  - {slo: 5, where: ok, during: never}\n")
    draft = parse_draft(changed(text, "must: hold", "must: holds"), FILE, FAULTS, gate_kinds())
    crash = draft.timeline[0]
    assert crash is not None
    assert (crash.fault, crash.target) == ("crash", Target(role="edge", zone="isp-a", pick=1))
    assert isinstance(draft.gates[0], SloGate)
    assert (draft.gates[0].where, draft.gates[0].during) == ("ok", "all")
    assert draft.arms[1] is not None
    assert draft.arms[1].safeguards == ("player.retry", "player.abr")
    assert draft.suspect == {
        ("timeline", 0, "at"),
        ("timeline", 0, "for"),
        ("gates", 0, "slo"),
        ("gates", 0, "during"),
        ("arms", 1, "must"),
    }
    assert draft.is_suspect(("gates", 0))
    assert not draft.is_suspect(("gates", 0, "where"))
    assert draft.system == "streaming"
    assert draft.experiment is None


@pytest.mark.parametrize("value", ["crash", "{}", "{fault: 7}", "{fault: xyzzy, at: 5}", "[]"])
def test_an_entry_without_a_valid_model_is_none(value: str) -> None:
    start = GOOD.index("{at: 60s, for: 60s")
    text = GOOD[:start] + value + GOOD[GOOD.index("\n", start) :]
    assert parse_draft(text, FILE, FAULTS, gate_kinds()).timeline[0] is None


def test_a_mistake_of_one_key_against_another_does_not_wait_for_the_unit_of_a_third() -> None:
    text = changed(GOOD, "    delay: 200ms\n", "    delay: 2ms\n    jitter: 3ms\n")
    found = mistakes(changed(text, "  - at: 90s\n", "  - at: 90\n"))
    assert [(one.code, one.line, one.col) for one in found] == [
        (Code.BAD_UNIT, 9, 9),
        (Code.CONFLICT, 13, 13),
    ]
    # Where one of the two is not valid, they are not compared.
    (found_one,) = mistakes(changed(text, "jitter: 3ms", "jitter: 3"))
    assert found_one.code is Code.BAD_UNIT


def test_the_rest_of_a_misspelt_fault_or_gate_is_validated_too() -> None:
    text = changed(GOOD, "at: 60s, for: 60s, fault: crash", "at: 60, for: 60s, fault: craash, foo: 1")
    text = changed(text, "event: player.failover, within: 5s", "evnt: player.failover, within: 5")
    text = changed(text, "    fault: latency\n    delay: 200ms\n", "    fualt: latency\n    delay: 200\n")
    assert [(one.line, one.code) for one in mistakes(text)] == [
        (8, Code.BAD_UNIT),
        (8, Code.UNKNOWN_NAME),
        (11, Code.UNKNOWN_KEY),
        (12, Code.BAD_UNIT),
        (18, Code.UNKNOWN_KEY),
        (18, Code.BAD_UNIT),
    ]
