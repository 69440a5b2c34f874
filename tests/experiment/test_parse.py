from __future__ import annotations

from pathlib import Path

import pytest

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


def test_later_stages_find_the_place_of_everything() -> None:
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
        f"{FILE}:1:13: found 'Edge Loss'; a name is small letters, digits and dashes; did you mean 'edge-loss'?",
        f"{FILE}:2:1: found the key 'titel'; allowed: experiment, title, description, system, tags, "
        "runtime, load, timeline, gates, arms, drain; did you mean 'title'?",
        f"{FILE}:5:21: 4 needs a unit; allowed: /s, /m, /h; did you mean 4/s?",
        f"{FILE}:7:20: found the unit 'minute' in '1minute'; allowed: us, ms, s, m, h; did you mean 1m?",
        f"{FILE}:8:5: crash has no 'for'; how long it lasts, for example for: 30s",
        f"{FILE}:9:32: found the fault 'craash'; allowed: {', '.join(FAULTS)}; did you mean 'crash'?",
        f"{FILE}:14:5: duplicate key 'at' (first on line 10); keep one",
        f"{FILE}:15:21: found the key 'form'; allowed: from, to; did you mean 'from'?",
        f"{FILE}:17:37: found 'faults'; allowed: all, before, fault, after; did you mean 'fault'?",
        f"{FILE}:18:5: found 'playback-success'; a gate is a mapping such as {{slo: playback-success}}",
    ]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("experiment: edge-loss\n", "", "1:1: there is no 'experiment'; its name"),
        ("title: Losing", "title: 5 #", "2:8: found 5; expected text (quote it)"),
        ("system: streaming\n", "", "there is no 'system'; the system under test"),
        ("tags: [delivery]", "tags: delivery", "4:7: found 'delivery'; expected a list such as"),
        ("tags: [delivery]", "tags: [5]", "4:8: found 5; expected text"),
        ("tags: [delivery]", "drain: 5", "4:8: 5 needs a unit; allowed: us, ms, s, m, h; did you mean 5s?"),
        ("  viewers: {arrive: 4/s, for: 3m, mix: home}", "", "5:6: found nothing; 'load' says who comes"),
        ("  viewers: {arrive: 4/s, for: 3m, mix: home}", "  {}", "6:3: found an empty mapping; 'load' says"),
        (
            "{arrive: 4/s, for: 3m, mix: home}",
            "4/s",
            "6:12: found '4/s'; expected a mapping with arrive, for",
        ),
        ("arrive: 4/s, ", "", "6:3: 'viewers' has no 'arrive'"),
        ("arrive: 4/s", "arrive: 0/s", "6:21: found 0; it must be more than 0/s"),
        ("for: 3m", "for: 0s", "6:31: found no time at all"),
        ("mix: home", "mix: on", ""),
        ("mix: home", "mix: true", "6:40: found true; expected text"),
        ("at: 60s, for: 60s", "at: 60s, for_: 60s", "8:15: found the key 'for_'; allowed: fault, at, for, "),
        ("at: 60s, for: 60s", "at: 60s, for: ~", "8:20: crash needs 'for'"),
        ("at: 60s, for: 60s", "at: 60s, for: 0s", "8:20: found no time at all"),
        ("fault: crash, ", "", "8:5: this says no 'fault'; 'fault' is one of latency"),
        ("fault: crash", "fualt: crash", "8:25: found the key 'fualt'; 'fault' is one of"),
        ("fault: crash", "fault: 7", "8:32: found the fault 7; allowed: latency"),
        ("fault: crash", "fault: [crash]", "8:32: found the fault a list"),
        ("fault: crash", "fault: power_off", "did you mean 'power-off'?"),
        ("fault: crash", "fault: restart, downtime: 5s", "8:15: restart takes no 'for'; remove it"),
        ("fault: crash", "fault: crash, delay: 5s", "8:39: found the key 'delay'; allowed: fault, at, for"),
        (", pick: 1", ", pick: 1.5", "found 1.5; expected a number of nodes such as 2, or a share"),
        (", pick: 1", ", pick: true", "found true; expected a number of nodes such as 2, or a share"),
        (
            "{role: edge, zone: isp-a, pick: 1}",
            "edge",
            "8:47: found 'edge'; expected a mapping such as {role",
        ),
        ("{role: edge, zone: isp-a, pick: 1}", "{link: {from: a, to: b}}", "8:48: crash acts on nodes, not"),
        (
            ", zone: isp-a",
            ", zon: isp-a",
            "8:60: found the key 'zon'; allowed: role, zone, node, group, pick",
        ),
        ("    delay: 200ms\n", "", "9:5: latency has no 'delay'; added to each one-way trip"),
        ("    delay: 200ms\n", "    dealy: 200ms\n", "12:5: found the key 'dealy'; allowed: fault, at, for"),
        ("    delay: 200ms\n", "    delay: 2ms\n    jitter: 3ms\n", "13:13: 'jitter' is more than 'delay'"),
        ("from: edge, ", "", "13:14: 'link' has no 'from'"),
        ("from: edge, ", "from: [edge], ", "13:27: found a list; expected a role, or a mapping such as"),
        ("from: edge, ", "from: {rol: edge}, ", "13:28: found the key 'rol'; allowed: role, zone, node"),
        ("to: {role: storage}", "to: {role: 5}", "13:44: found 5; expected text"),
        (
            "timeline:\n",
            "timeline: soon\nother2:\n",
            "7:11: found 'soon'; 'timeline' is a list: lines that begin",
        ),
        ("  - slo: playback-success\n", "  - {}\n", "16:5: the gate has no kind; a gate has one of"),
        (
            "  - slo: playback-success\n",
            "  - {evnt: x, within: 5s}\n",
            "16:6: found the key 'evnt'; a gate has one of",
        ),
        ("slo: startup-time, ", "slo: a, event: b, ", "17:14: found slo and event in one gate; make it two"),
        ("during: fault", "durring: fault", "17:58: found the key 'durring'; allowed: name, where, target"),
        ("within: 5s", "within: 0s", "18:38: found no time at all"),
        (", within: 5s", "", "18:5: this gate has no 'within'"),
        ("gates:\n", "gates: {}\nother2:\n", "15:8: found an empty mapping; 'gates' is a list"),
        ("must: hold", "must: holds", "did you mean 'hold'?"),
        ("without: player.failover, ", "", "21:5: this arm has no 'without'; the safeguard that is off"),
        ("without: player.failover", "without: 5", "21:15: found 5; expected a safeguard, or a list of them"),
        ("[player.retry, player.abr]", "[player.retry, 7]", "22:30: found 7; expected text"),
    ],
)
def test_one_mistake_is_one_diagnostic_at_its_place(old: str, new: str, said: str) -> None:
    found = [str(mistake) for mistake in mistakes(changed(GOOD, old, new))]
    expected = 0 if not said else 2 if "other2:" in new else 1
    assert len(found) == expected, found
    assert all("pydantic" not in one and "Input" not in one and "validation" not in one for one in found)
    if said:
        assert said in found[0]


def test_a_key_that_is_not_there_is_not_missing_too() -> None:
    (found,) = mistakes(changed(GOOD, "arrive: 4/s", "arive: 4/s"))
    assert found.hint == "did you mean 'arrive'?"


def test_slos_are_ratios_or_percentiles() -> None:
    slos = parse_slos(SLOS, "slos.yaml", SLO_KINDS)
    ratio, percentile = slos["playback-success"], slos["startup-time"]
    assert isinstance(ratio, RatioSlo)
    assert (ratio.good, ratio.target, ratio.at) == ("ok", pytest.approx(0.999), "t_s")
    assert isinstance(percentile, PercentileSlo)
    assert (percentile.value, percentile.percentile, percentile.at_most) == ("startup_s", 95.0, "2s")
    source = parse_slos_draft(SLOS, "slos.yaml", SLO_KINDS).source
    assert source.mark(("startup-time", "at_most")) == Mark(11, 12)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("playback-success:", "Playback Success:", "1:1: found the name 'Playback Success'; names are small"),
        ("  good: ok\n", "", "1:1: the SLO needs 'good' or 'bad'; or 'value' and 'percentile' and 'at_most'"),
        (
            "  good: ok\n",
            "  goood: ok\n",
            "4:3: found the key 'goood'; allowed: protects, table, where, by",
        ),
        ("  good: ok\n", "  good: ok\n  bad: not ok\n", "5:3: found 'good' and 'bad'; give one of them"),
        ("  good: ok\n", "  good: true\n", "4:9: found true; expected text (quote it)"),
        ("target: 99.9%", "target: 0.999", "5:11: 0.999 needs a unit; allowed: %; did you mean 99.9%?"),
        ("percentile: 95", "percentile: 100", "10:15: found 100; it must be less than 100"),
        ("percentile: 95", "percentile: p95", "10:15: found 'p95'; expected a number"),
        ("  percentile: 95\n", "", "6:1: 'startup-time' has no 'percentile'"),
        ("at_most: 2s", "at_most: 2", "11:12: found 2; expected text"),
        ("  table: sessions\n  value", "  tabel: sessions\n  value", "8:3: found the key 'tabel'"),
    ],
)
def test_mistakes_in_slos(old: str, new: str, said: str) -> None:
    found = [str(mistake) for mistake in slo_mistakes(changed(SLOS, old, new))]
    assert len(found) == 1, found
    assert said in found[0]


def test_an_slo_is_a_mapping() -> None:
    assert [str(mistake) for mistake in slo_mistakes("a: 99%\nb:\n")] == [
        "slos.yaml:1:4: found '99%'; an SLO is a mapping; see docs/experiments.md",
        "slos.yaml:2:3: found nothing; an SLO is a mapping; see docs/experiments.md",
    ]


def test_a_file_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match=r"missing\.yaml: cannot be read: No such file"):
        read_text(tmp_path / "missing.yaml", "missing.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"title: caf\xe9\n")
    with pytest.raises(ExperimentError, match=r"latin\.yaml: is not UTF-8 text; byte 10 is not"):
        read_text(tmp_path / "latin.yaml", "latin.yaml")


def test_a_key_that_is_there_already_is_not_what_another_one_means() -> None:
    (found,) = mistakes(changed(GOOD, "for: 3m, mix", "for: 3m, foo: 1, mix"))
    assert (found.found, found.hint) == ("found the key 'foo'", "")


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
    assert draft.stood == {
        ("timeline", 0, "at"),
        ("timeline", 0, "for"),
        ("gates", 0, "slo"),
        ("gates", 0, "during"),
        ("arms", 1, "must"),
    }
    assert draft.doubtful(("gates", 0))
    assert not draft.doubtful(("gates", 0, "where"))
    assert draft.system == "streaming"
    assert draft.experiment is None


@pytest.mark.parametrize("value", ["crash", "{}", "{fault: 7}", "{fault: xyzzy, at: 5}", "[]"])
def test_what_nothing_can_be_made_of_is_none(value: str) -> None:
    start = GOOD.index("{at: 60s, for: 60s")
    text = GOOD[:start] + value + GOOD[GOOD.index("\n", start) :]
    assert parse_draft(text, FILE, FAULTS, gate_kinds()).timeline[0] is None


def test_a_mistake_of_one_key_against_another_does_not_wait_for_the_unit_of_a_third() -> None:
    text = changed(GOOD, "    delay: 200ms\n", "    delay: 2ms\n    jitter: 3ms\n")
    found = [str(mistake) for mistake in mistakes(changed(text, "  - at: 90s\n", "  - at: 90\n"))]
    assert len(found) == 2
    assert "9:9: 90 needs a unit" in found[0]
    assert "13:13: 'jitter' is more than 'delay'" in found[1]
    # Where one of the two is not known, nothing is said about both.
    (found_one,) = mistakes(changed(text, "jitter: 3ms", "jitter: 3"))
    assert found_one.found == "3 needs a unit"


def test_the_rest_of_a_misspelt_fault_or_gate_is_looked_at_too() -> None:
    text = changed(GOOD, "at: 60s, for: 60s, fault: crash", "at: 60, for: 60s, fault: craash, foo: 1")
    text = changed(text, "event: player.failover, within: 5s", "evnt: player.failover, within: 5")
    text = changed(text, "    fault: latency\n    delay: 200ms\n", "    fualt: latency\n    delay: 200\n")
    assert [(mistake.line, mistake.found) for mistake in mistakes(text)] == [
        (8, "60 needs a unit"),
        (8, "found the fault 'craash'"),
        (11, "found the key 'fualt'"),
        (12, "200 needs a unit"),
        (18, "found the key 'evnt'"),
        (18, "5 needs a unit"),
    ]
