"""The rules that choose renditions, what they go by, and the limits within which they stay."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from systems.streaming.player.abr import (
    Bola,
    BolaBasic,
    Careful,
    Fixed,
    Ladder,
    Progress,
    Rule,
    Throughput,
    make_rule,
)
from systems.streaming.player.estimator import Estimator

BBB_KBPS = (230.0, 331.0, 477.0, 688.0, 991.0, 1427.0, 2056.0, 2962.0, 5027.0, 6000.0)
"""The ten renditions of the movie Big Buck Bunny, for which dash.js has these thresholds."""

THRESHOLDS_S = (11.11, 12.08, 13.05, 14.03, 15.00, 15.97, 16.94, 18.10, 19.09)


def estimator(throughput_kbps: float, latency_ms: float = 0.0, segment_ms: float = 4000) -> Estimator:
    found = Estimator(segment_ms)
    found.add(1000, throughput_kbps, latency_ms)
    return found


# ---------------------------------------------------------------------- estimator


def test_the_first_sample_is_the_estimate() -> None:
    found = estimator(1234.0, 56.0)
    assert found.throughput_kbps == pytest.approx(1234)
    assert found.latency_ms == pytest.approx(56)


def test_the_estimate_falls_fast_and_rises_slowly() -> None:
    """The lower of a fast and a slow mean: 3 s after a fall half of it is believed, 3 s after a rise less."""
    falling, rising = Estimator(4000), Estimator(4000)
    for _ in range(100):
        falling.add(1000, 4000, 0)
        rising.add(1000, 1000, 0)
    falling.add(3000, 1000, 0)
    rising.add(3000, 4000, 0)
    assert falling.throughput_kbps == pytest.approx(2500, rel=0.01)
    assert rising.throughput_kbps == pytest.approx(1000 + 3000 * (1 - 0.5 ** (3 / 8)), rel=0.01)


@given(
    st.lists(st.tuples(st.floats(1, 60_000), st.floats(1, 1e6), st.floats(0, 5000)), min_size=1, max_size=40)
)
@settings(deadline=None)
def test_estimates_stay_within_what_was_seen(samples: list[tuple[float, float, float]]) -> None:
    found = Estimator(4000)
    assert not found.has_sample
    for sample in samples:
        found.add(*sample)
        assert found.has_sample
    rates, latencies = [s[1] for s in samples], [s[2] for s in samples]
    assert min(rates) * (1 - 1e-6) <= found.throughput_kbps <= max(rates) * (1 + 1e-6)
    assert min(latencies) - 1e-6 <= found.latency_ms <= max(latencies) * (1 + 1e-6) + 1e-9


# ---------------------------------------------------------------------- rules


def test_bola_goes_up_at_the_published_buffer_levels() -> None:
    bola = Bola(Ladder(3000, BBB_KBPS), estimator(1e9, segment_ms=3000), 25_000)
    found: list[float] = []
    for tenth in range(2500):
        quality = bola.from_buffer(tenth * 10)
        if quality > len(found):
            found += [tenth / 100] * (quality - len(found))
    assert found == pytest.approx(list(THRESHOLDS_S), abs=0.011)


def test_bola_basic_has_its_thresholds_from_the_first_segment_to_the_last() -> None:
    for segment in (1, 50, 99):
        basic = BolaBasic(Ladder(3000, BBB_KBPS), estimator(1e9, segment_ms=3000), 25_000)
        chosen = [
            basic.choose(segment, 100, seconds * 1000 + offset)
            for seconds in THRESHOLDS_S
            for offset in (-11, 11)
        ]
        assert chosen == [quality for up in range(1, 10) for quality in (up - 1, up)]
    assert basic.give_up(Progress(9, 1e7, 1e5, 60_000, 0), 0) is None


def test_bola_goes_only_one_step_beyond_what_the_network_bears() -> None:
    bola = Bola(Ladder(3000, BBB_KBPS), estimator(700, segment_ms=3000), 25_000)
    assert BBB_KBPS[3] < 700 < BBB_KBPS[4]
    assert bola.choose(50, 100, 24_000) == 4
    assert bola.choose(51, 100, 24_000) == 4


def test_bola_stays_where_it_is_when_the_network_bears_less_and_the_buffer_is_full() -> None:
    ladder = Ladder(3000, BBB_KBPS)
    seen = estimator(1e6, segment_ms=3000)
    bola = Bola(ladder, seen, 25_000)
    assert bola.choose(50, 100, 17_500) == 7
    for _ in range(20):
        seen.add(5000, 300, 0)
    assert bola.choose(51, 100, 24_000) == 7


def test_bola_acts_as_with_a_small_buffer_at_both_ends() -> None:
    ladder = Ladder(3000, BBB_KBPS)
    for segment in (1, 99):
        assert Bola(ladder, estimator(1e6, segment_ms=3000), 25_000).choose(segment, 100, 10_000) == 9
    assert Bola(ladder, estimator(1e6, segment_ms=3000), 25_000).choose(50, 100, 10_000) == 0


def test_throughput_takes_what_fits_into_nine_tenths() -> None:
    ladder = Ladder(4000, (100, 200, 400, 800))
    for throughput, quality in ((1000, 3), (889, 3), (888, 2), (445, 2), (444, 1), (100, 0), (1, 0)):
        assert Throughput(ladder, estimator(throughput)).choose(5, 100, 1e9) == quality


def test_throughput_counts_the_latency_as_lost_time() -> None:
    ladder = Ladder(4000, (100, 200, 400, 800))
    assert Throughput(ladder, estimator(1000, latency_ms=400)).choose(5, 100, 1e9) == 3
    assert Throughput(ladder, estimator(1000, latency_ms=500)).choose(5, 100, 1e9) == 2


def test_throughput_is_careful_while_the_buffer_is_short_and_more_so_each_time() -> None:
    """4 s of buffer and 1,000 kbit/s pay for 0.9 x 4 Mbit at first, for 0.5 x 4 Mbit in the end."""
    rule = Throughput(Ladder(4000, (100, 450, 800)), estimator(1000))
    chosen = [rule.choose(5, 100, 4000) for _ in range(8)]
    assert chosen[0] == 2
    assert chosen[-1] == 1
    assert chosen == sorted(chosen, reverse=True)


def test_careful_keeps_to_what_arrives_in_time() -> None:
    """0.7 of what arrives in 4 s at 1,000 kbit/s is 2.8 Mbit: segments of up to 700 kbit/s."""
    ladder = Ladder(4000, (100, 700, 800))
    careful = Careful(Fixed(2), ladder, estimator(1000))
    assert careful.choose(5, 100, 4000) == 1
    assert careful.choose(5, 100, 5000) == 2
    assert careful.choose(5, 100, 0) == 0
    far = Careful(Fixed(2), ladder, estimator(1000, latency_ms=1000))
    assert far.choose(5, 100, 4000) == 0


def test_fixed_never_moves() -> None:
    rule = Fixed(2)
    assert {rule.choose(n, 100, level) for n, level in itertools.product(range(3), (0, 1e5))} == {2}
    assert rule.give_up(Progress(2, 1e9, 1, 1e6, 0), 0) is None


# ---------------------------------------------------------------------- giving up


def test_throughput_gives_up_what_would_take_far_too_long() -> None:
    """3.2 Mbit at 160 kbit/s would take 20 s, more than 1.8 x 4 s: 100 kbit/s is what fits."""
    rule = Throughput(Ladder(4000, (100, 200, 400, 800)), estimator(1000))
    slow = Progress(quality=3, size_bits=3.2e6, done_bits=1.6e5, time_ms=1000, waited_ms=0)
    assert rule.give_up(slow, 4000) == 0
    early = Progress(quality=3, size_bits=3.2e6, done_bits=0.7e5, time_ms=499, waited_ms=0)
    assert rule.give_up(early, 4000) is None
    fast = Progress(quality=3, size_bits=3.2e6, done_bits=8e5, time_ms=1000, waited_ms=0)
    assert rule.give_up(fast, 4000) is None
    nearly_done = Progress(quality=3, size_bits=3.2e6, done_bits=3.1e6, time_ms=8000, waited_ms=0)
    assert rule.give_up(nearly_done, 0) is None


def test_bola_gives_up_when_less_remains_to_be_gained_and_remembers_where_it_went() -> None:
    ladder = Ladder(4000, (100, 200, 400, 800))
    rule = Bola(ladder, estimator(1e6), 16_000)
    assert rule.choose(50, 100, 15_000) == 3
    slow = Progress(quality=3, size_bits=3.2e6, done_bits=1e4, time_ms=3000, waited_ms=0)
    instead = rule.give_up(slow, 500)
    assert instead is not None
    assert instead < 3
    assert rule.give_up(Progress(3, 3.2e6, 3.1e6, 3000, 0), 500) is None
    assert rule.give_up(Progress(3, 3.2e6, 3.1e6, 3000, 0), 60_000) is None, "little is left: go on"


ladders = st.builds(
    lambda segment_ms, rates: Ladder(segment_ms, tuple(sorted(rates))),
    st.sampled_from((1000.0, 2000.0, 4000.0, 6000.0)),
    st.sets(st.floats(50, 50_000), min_size=1, max_size=12),
)


@given(
    ladders,
    st.sampled_from(("throughput", "bola", "careful bola")),
    st.lists(
        st.tuples(
            st.integers(1, 99),
            st.floats(0, 60_000),
            st.floats(1, 1e6),
            st.floats(0, 3000),
            st.floats(0.001, 0.999),
            st.floats(1, 30_000),
        ),
        min_size=1,
        max_size=30,
    ),
)
@settings(deadline=None, max_examples=150)
def test_rules_stay_on_the_ladder_and_give_up_only_downwards(
    ladder: Ladder, name: str, steps: list[tuple[int, float, float, float, float, float]]
) -> None:
    seen = Estimator(ladder.segment_ms)
    seen.add(1000, steps[0][2], steps[0][3])
    rule: Rule = make_rule(name.removeprefix("careful "), ladder, seen, 25_000)
    if name.startswith("careful"):
        rule = Careful(rule, ladder, seen)
    for segment, buffer_ms, throughput, latency_ms, share, body_ms in steps:
        quality = rule.choose(segment, 100, buffer_ms)
        assert quality in range(len(ladder.bitrates_kbps))
        size = ladder.bitrates_kbps[quality] * ladder.segment_ms
        progress = Progress(quality, size, size * share, latency_ms + body_ms, latency_ms)
        instead = rule.give_up(progress, max(0.0, buffer_ms - progress.time_ms))
        assert instead is None or 0 <= instead < quality
        seen.add(body_ms, throughput, latency_ms)


@given(ladders, st.floats(0, 60_000), st.floats(0, 60_000))
@settings(deadline=None)
def test_more_buffer_never_means_less_quality_to_bola(ladder: Ladder, one_ms: float, other_ms: float) -> None:
    bola = Bola(ladder, estimator(1e6), 25_000)
    lower, higher = sorted((one_ms, other_ms))
    assert bola.from_buffer(lower) <= bola.from_buffer(higher)
