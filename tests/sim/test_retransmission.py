"""What loss and jitter add to the time that data takes."""

from __future__ import annotations

import math
from statistics import fmean

import pytest

from harness.runtime.routes import MSS_BYTES
from harness.sim.network.path import Path
from harness.sim.network.retransmission import MIN_RTO_S, SYN_RTO_S, LossDelays


def path_of(latency_s: float = 0.01, *, jitter_s: float = 0.0, loss: float = 0.0) -> Path:
    return Path(latency_s, jitter_s, loss, (), math.inf, False)


def samples(path: Path, n_bytes: int, count: int = 4000) -> list[float]:
    delays = LossDelays("a stream")
    return [delays.extra_s(path, n_bytes) for _ in range(count)]


def test_nothing_is_added_without_jitter_and_loss() -> None:
    assert samples(path_of(), 10 * MSS_BYTES, 3) == [0.0, 0.0, 0.0]
    assert LossDelays("a stream").handshake_s(path_of(0.02)) == 0.02


def test_jitter_is_uniform_around_the_latency() -> None:
    found = samples(path_of(jitter_s=0.005), 1)
    assert -0.005 <= min(found) < -0.0045
    assert 0.0045 < max(found) <= 0.005
    assert fmean(found) == pytest.approx(0.0, abs=2e-4)


def test_a_single_lost_packet_costs_a_time_out_doubled_each_time() -> None:
    found = samples(path_of(loss=0.2), 1)
    assert all(
        math.isclose(extra, MIN_RTO_S * (2 ** round(math.log2(extra / MIN_RTO_S + 1)) - 1)) for extra in found
    )
    assert found.count(0.0) / len(found) == pytest.approx(0.8, abs=0.03)
    assert sum(math.isclose(extra, MIN_RTO_S) for extra in found) / len(found) == pytest.approx(
        0.16, abs=0.03
    )


def test_in_a_long_transfer_most_losses_cost_one_round_trip() -> None:
    loss, packets = 0.001, 1000
    found = samples(path_of(loss=loss), packets * MSS_BYTES)
    repaired = sum(extra == pytest.approx(0.02) for extra in found) / len(found)
    assert repaired == pytest.approx(1 - (1 - loss) ** (packets - 3), abs=0.03)


def test_a_lost_syn_is_sent_again_after_a_second() -> None:
    delays, path = LossDelays("a stream"), path_of(0.02, loss=0.2)
    found = [delays.handshake_s(path) for _ in range(2000)]
    assert set(found) <= {0.02 + SYN_RTO_S * (2**n - 1) for n in range(9)}
    assert found.count(0.02) / len(found) == pytest.approx(0.8, abs=0.04)


def test_each_stream_has_its_own_luck_and_keeps_it() -> None:
    path = path_of(jitter_s=0.005)
    one, again, other = (LossDelays(name) for name in ("one", "one", "other"))
    assert one.extra_s(path, 1) == again.extra_s(path, 1)
    assert one.extra_s(path, 1) != other.extra_s(path, 1)
