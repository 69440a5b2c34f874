from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.faults.exposure import Exposure
from harness.gates.base import Gate
from harness.gates.event import EventGate
from harness.gates.invariant import judge_invariant
from harness.gates.judge import judge_gates
from harness.gates.names import gate_names
from harness.gates.recovered import RecoveredGate
from harness.gates.result import GateResult, Verdict
from harness.gates.slo import SloGate
from harness.history.metadata import FaultRecord, RunMetadata
from harness.history.read import History
from harness.sli.base import Slo
from harness.sli.ratio import RatioSlo
from harness.sli.threshold import parse_threshold
from tests.verdict.support import CRASH, METADATA, SLOS, SPEED, SUCCESS, Visit, history, invariant, visits


def one(found: History, gate: Gate, slos: dict[str, Slo] | None = None) -> GateResult:
    (result,) = judge_gates([gate], found, SLOS if slos is None else slos)
    return result


@pytest.mark.parametrize(
    ("good", "bad", "verdict"),
    [
        (300, 0, Verdict.PASSED),
        (20, 0, Verdict.INCONCLUSIVE),
        (97, 3, Verdict.PASSED),
        (250, 50, Verdict.FAILED),
    ],
)
def test_ratio(tmp_path: Path, good: int, bad: int, verdict: Verdict) -> None:
    result = one(history(tmp_path, visits(50, good, bad)), SloGate(slo="success"))
    assert result.verdict is verdict
    assert result.value == good / (good + bad)
    assert result.samples == good + bad
    assert result.threshold == pytest.approx(0.9)
    assert result.unit == "ratio"
    assert result.interval is not None
    assert result.interval[0] < result.value <= result.interval[1]
    assert (result.needs is None) == (verdict is not Verdict.INCONCLUSIVE)


def test_ratio_says_why(tmp_path: Path) -> None:
    found = history(tmp_path, visits(50, 250, 50))
    assert one(found, SloGate(slo="success")).reason == (
        "83.33% [79.38%, 86.78%] of 300 samples are good, less than 90.0%"
    )
    tight = one(found, SloGate(slo="success", target="83%"))
    assert tight.needs is not None
    assert f"({tight.needs:,} more such samples would claim it with a probability of 95%)" in tight.reason


def test_what_is_bad_counts_against(tmp_path: Path) -> None:
    slo = RatioSlo(protects="", table="visits", bad="not ok", target="90%")
    assert one(history(tmp_path, visits(50, 90, 10)), SloGate(slo="it"), {"it": slo}).value == 0.9


def test_where_and_target_of_the_gate(tmp_path: Path) -> None:
    rows = visits(50, 300) + visits(20, 0, 300, group="slow")
    gate = SloGate(slo="success", where="\"group\" = 'fast' -- not the slow ones", target="50%")
    result = one(history(tmp_path, rows), gate)
    assert (result.samples, result.value, result.threshold) == (300, 1.0, 0.5)


@pytest.mark.parametrize(
    ("latency_s", "verdict"),
    [(0.4, Verdict.PASSED), (0.6, Verdict.FAILED)],
)
def test_percentile(tmp_path: Path, latency_s: float, verdict: Verdict) -> None:
    result = one(history(tmp_path, visits(50, 100, latency_s=latency_s)), SloGate(slo="speed"))
    assert result.verdict is verdict
    assert (result.value, result.threshold, result.unit, result.samples) == (latency_s, 0.5, "s", 100)
    assert result.interval == (latency_s, latency_s)


def test_percentile_with_too_few_values(tmp_path: Path) -> None:
    result = one(history(tmp_path, visits(50, 58)), SloGate(slo="speed"))
    assert result.verdict is Verdict.INCONCLUSIVE
    assert result.needs == 1
    assert result.interval is None


def test_percentile_with_another_limit(tmp_path: Path) -> None:
    found = history(tmp_path, visits(50, 100, latency_s=0.6))
    assert one(found, SloGate(slo="speed", at_most="1s")).verdict is Verdict.PASSED


def test_groups_are_sorted_and_the_silent_one_is_not_forgotten(tmp_path: Path) -> None:
    rows = visits(10, 100, group="slow") + visits(50, 100, group="fast") + visits(10, 100, group="fast")
    results = judge_gates([SloGate(slo="success-by-group", during="fault")], history(tmp_path, rows), SLOS)
    assert [(result.name, result.verdict) for result in results] == [
        ("success-by-group during the fault[fast]", Verdict.PASSED),
        ("success-by-group during the fault[slow]", Verdict.INCONCLUSIVE),
    ]


@pytest.mark.parametrize(
    ("during", "samples"), [("all", 600), ("before", 100), ("fault", 200), ("after", 300)]
)
def test_windows(tmp_path: Path, during: str, samples: int) -> None:
    rows = visits(10, 100) + visits(40, 200) + visits(80, 300)
    gate = SloGate.model_validate({"slo": "success", "during": during})
    assert one(history(tmp_path, rows), gate).samples == samples


def test_windows_span_all_faults(tmp_path: Path) -> None:
    metadata = replace(METADATA, faults=(CRASH, replace(CRASH, applied_at_s=20.0, undone_at_s=30.0)))
    rows = visits(10, 100) + visits(25, 200) + visits(60, 300)
    assert (
        one(history(tmp_path, rows, metadata=metadata), SloGate(slo="success", during="fault")).samples == 500
    )


def test_the_moment_is_the_slo_s_own(tmp_path: Path) -> None:
    slo = SUCCESS.model_copy(update={"at": "t_s - 30"})
    found = history(tmp_path, visits(50, 100))
    assert one(found, SloGate(slo="it", during="before"), {"it": slo}).samples == 100


def test_fault_moments_are_columns(tmp_path: Path) -> None:
    rows = visits(10, 100) + visits(40, 200) + visits(80, 300)
    gate = SloGate(slo="success", where="t_s >= fault_start_s + 40 and fault_end_s = 80")
    assert one(history(tmp_path, rows), gate).samples == 300


def test_recovered(tmp_path: Path) -> None:
    rows = visits(10, 100) + visits(50, 0, 100) + visits(82, 0, 10) + visits(85, 100)
    found = history(tmp_path, rows)
    good = one(found, RecoveredGate(recovered="success", within="5s"))
    assert (good.verdict, good.kind, good.samples) == (Verdict.PASSED, "recovered", 100)
    assert good.name == "success recovered"
    early = one(found, RecoveredGate(recovered="success", within="1s", target="99%"))
    assert early.verdict is Verdict.FAILED


@pytest.mark.parametrize(
    ("seen_s", "verdict", "value"),
    [
        ([42.0], Verdict.PASSED, 2.0),
        ([45.0], Verdict.INCONCLUSIVE, None),  # 1 of 9 runs in which one event has no cause
        ([30.0, 45.5], Verdict.FAILED, None),
        ([39.0, 41.0], Verdict.INCONCLUSIVE, None),
        ([], Verdict.FAILED, None),
    ],
)
def test_event(tmp_path: Path, seen_s: list[float], verdict: Verdict, value: float | None) -> None:
    found = history(tmp_path, [], [(t_s, "shop.failover") for t_s in seen_s])
    result = one(found, EventGate(event="shop.failover", within="5s"))
    assert (result.verdict, result.value, result.threshold, result.kind) == (verdict, value, 5.0, "event")
    assert result.samples == (0 if verdict is Verdict.FAILED else 1)


def test_event_that_goes_on_anyway_is_no_answer(tmp_path: Path) -> None:
    found = history(tmp_path, [], [(0.5 * n, "shop.failover") for n in range(200)])
    result = one(found, EventGate(event="shop.failover", within="5s"))
    assert result.verdict is Verdict.INCONCLUSIVE
    assert result.reason == (
        "shop.failover is seen 11 times in the 5 s after the start of crash and 109 times in 54.5 s without a fault, "
        "which chance alone gives with a probability of 30.8% (at most 5% is evidence)"
    )


def seen(*times_s: float) -> list[tuple[float, str]]:
    return [(time_s, "shop.failover") for time_s in times_s]


def test_event_that_is_seen_far_more_often_than_before_is_an_answer(tmp_path: Path) -> None:
    """One stray event before the fault; as many may be among those after it, so the second one counts."""
    gate = EventGate(event="shop.failover", within="5s")
    result = one(history(tmp_path, [], seen(37, 40.5, 41, 41.5, 42, 42.5, 43, 43.5)), gate)
    assert (result.verdict, result.value, result.samples) == (Verdict.PASSED, 1.0, 7)
    # One to one: as much comes by luck in 1 of 15 runs.
    few = one(history(tmp_path, [], seen(37, 41.5)), gate)
    assert (few.verdict, few.value) == (Verdict.INCONCLUSIVE, None)
    assert "seen once in the 5 s after the start of crash and once in 40 s without a fault" in few.reason


def test_event_is_counted_by_the_time_that_there_was_for_it(tmp_path: Path) -> None:
    """Two to one in as long a time is luck; in a quarter of the time (a second fault ends it) it is not."""
    gate, first = EventGate(event="shop.failover", within="40s"), (10, 42, 43)
    assert one(history(tmp_path, [], seen(*first)), gate).verdict is Verdict.INCONCLUSIVE
    both = replace(METADATA, faults=(CRASH, replace(CRASH, name="second", at_s=50.0, applied_at_s=50.0)))
    result = one(history(tmp_path, [], seen(*first, *range(51, 71)), both), gate)
    assert (result.verdict, result.value) == (Verdict.PASSED, 3.0)


def test_event_that_was_seen_before_the_fault_only_is_missed(tmp_path: Path) -> None:
    result = one(history(tmp_path, [], seen(37)), EventGate(event="shop.failover", within="5s"))
    assert result.verdict is Verdict.FAILED


def test_event_of_a_later_fault_is_not_the_earlier_ones(tmp_path: Path) -> None:
    gate = EventGate(event="shop.failover", within="30s")
    found = history(tmp_path, [], [(61.0, "shop.failover")], two_faults())
    assert one(found, gate).reason == "no shop.failover within 30 s of the start of crash"


def test_event_after_a_fault_that_touched_nothing_says_nothing(tmp_path: Path) -> None:
    metadata = replace(METADATA, faults=(replace(CRASH, exposure=Exposure()),))
    for seen in ([], [(41.0, "shop.failover")]):
        result = one(
            history(tmp_path / str(len(seen)), [], seen, metadata),
            EventGate(event="shop.failover", within="5s"),
        )
        assert result.verdict is Verdict.INCONCLUSIVE


def two_faults() -> RunMetadata:
    second = replace(CRASH, name="second", at_s=60.0, applied_at_s=60.0, undone_at_s=90.0)
    return replace(METADATA, faults=(CRASH, second))


def test_event_after_every_fault(tmp_path: Path) -> None:
    gate = EventGate(event="shop.failover", within="5s")
    found = history(tmp_path, [], [(41.0, "shop.failover")], two_faults())
    assert one(found, gate).reason == "no shop.failover within 5 s of the start of second"
    both = history(tmp_path, [], [(41.0, "shop.failover"), (62.0, "shop.failover")], two_faults())
    assert one(both, gate).value == 2.0


def test_event_after_recovery(tmp_path: Path) -> None:
    gate = EventGate(event="shop.failover", within="5s", of="recovery")
    found = history(tmp_path, [], [(81.0, "shop.failover")])
    assert one(found, gate).value == 1.0
    metadata = replace(METADATA, faults=(replace(CRASH, undone_at_s=None),))
    never = one(history(tmp_path, [], [(81.0, "shop.failover")], metadata), gate)
    assert never.verdict is Verdict.INCONCLUSIVE


def test_invariants(tmp_path: Path) -> None:
    rows = visits(10, 100)
    fine, broken, wrong = (
        history(tmp_path, rows, metadata=invariant(sql))
        for sql in ("latency_s < 0", "t_s > 10.5", "latency < 0")
    )
    results = [judge_invariant(h, h.metadata.invariants[0]) for h in (fine, broken, wrong)]
    assert [result.verdict for result in results] == [Verdict.PASSED, Verdict.FAILED, Verdict.ERROR]
    assert results[1].value == 49
    assert {result.kind for result in results} == {"invariant"}


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [("2s", 2.0, "s"), ("5Mbps", 5e6, "bps"), ("64KB", 64e3, "bytes"), ("5%", 0.05, "share")],
)
def test_thresholds(text: str, value: float, unit: str) -> None:
    threshold = parse_threshold(text)
    assert (threshold.value, threshold.unit) == (pytest.approx(value), unit)


def test_gate_names_tell_gates_apart() -> None:
    assert gate_names(
        [
            SloGate(slo="success"),
            SloGate(slo="success", where="ok"),
            SloGate(slo="success", during="after"),
            SloGate(slo="success", name="mine"),
            RecoveredGate(recovered="success", within="5s"),
            RecoveredGate(recovered="success", within="9s", target="50%"),
            EventGate(event="e", within="1s"),
            SloGate(slo="speed"),
            SloGate(slo="speed"),
        ]
    ) == (
        "success",
        "success where ok",
        "success after the fault",
        "mine",
        "success recovered within 5 s",
        "success recovered within 9 s at least 50%",
        "e after fault",
        "speed #1",
        "speed #2",
    )


sampled = st.lists(
    st.builds(
        Visit,
        t_s=st.floats(0, 120),
        group=st.sampled_from(["fast", "slow"]),
        ok=st.sampled_from([True, True, True, True, True, False, None]),
        latency_s=st.one_of(st.none(), st.floats(0, 1)),
    ),
    max_size=120,
)
quick = settings(deadline=None, max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(sampled, st.randoms(use_true_random=False))
@quick
def test_the_order_of_rows_does_not_matter(tmp_path: Path, rows: list[Visit], rng: random.Random) -> None:
    shuffled = [*rows]
    rng.shuffle(shuffled)
    slos = {**SLOS, "speed-by-group": SPEED.model_copy(update={"by": "group"})}
    first, second = history(tmp_path, rows), history(tmp_path, shuffled)
    for name in slos:
        assert judge_gates([SloGate(slo=name)], first, slos) == judge_gates([SloGate(slo=name)], second, slos)


@given(sampled, st.integers(1, 200), st.floats(0, 120))
@quick
def test_more_good_samples_never_undo_a_pass(
    tmp_path: Path, rows: list[Visit], more: int, start_s: float
) -> None:
    better = rows + visits(start_s, more, latency_s=0.0)
    for slo in ("success", "speed"):
        gate = SloGate(slo=slo, **({"target": "60%"} if slo == "success" else {"at_most": "900ms"}))
        before, after = one(history(tmp_path, rows), gate), one(history(tmp_path, better), gate)
        if before.verdict is Verdict.PASSED:
            assert after.verdict is Verdict.PASSED
        if after.verdict is Verdict.FAILED:
            assert before.verdict in (Verdict.FAILED, Verdict.INCONCLUSIVE)
        if after.samples == 0:
            assert after.verdict is Verdict.INCONCLUSIVE


def test_fault_records_are_what_happened_not_what_was_planned(tmp_path: Path) -> None:
    late: FaultRecord = replace(CRASH, applied_at_s=50.0)
    found = history(tmp_path, visits(45, 100), metadata=replace(METADATA, faults=(late,)))
    assert one(found, SloGate(slo="success", during="before")).samples == 100
