"""Parts of the load: shares of the arrivals, messages, clocks of other machines, lateness, options."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import Any

import pytest

from harness.cli.main import invoke
from harness.experiment.load import Load, LoadSegment
from harness.live import messages
from harness.live.locust import protocol
from harness.live.locust.clock import SLEW, OffsetEstimate, SteeredClock
from harness.live.messages import Address
from harness.workload.records import lateness
from harness.workload.schedule import arrival_times, scheduled_arrivals, share_of
from tests.workload.shapes import constant


def loads(**rates: str) -> dict[str, Load]:
    return {
        name: Load.model_validate({"arrive": rate, "for": "20s", "mix": "all"})
        for name, rate in rates.items()
    }


# ---------------------------------------------------------------------- arrivals


def test_the_schedule_is_that_of_every_load_in_the_order_of_time() -> None:
    both = list(scheduled_arrivals(3, loads(one="2/s", two="5/s")))
    assert [arrival.at_s for arrival in both] == sorted(arrival.at_s for arrival in both)
    for name, rate in (("one", 2.0), ("two", 5.0)):
        mine = [arrival for arrival in both if arrival.load == name]
        assert [arrival.at_s for arrival in mine] == list(arrival_times(3, name, constant(rate, 20.0)))
        assert [arrival.index for arrival in mine] == list(range(len(mine)))


@pytest.mark.parametrize("of", [1, 2, 3, 7])
def test_every_arrival_is_exactly_one_processs(of: int) -> None:
    everything = list(scheduled_arrivals(3, loads(one="2/s", two="5/s")))
    shares = [list(share_of(iter(everything), number, of)) for number in range(of)]
    assert sorted(arrival for each in shares for arrival in each) == everything
    sizes = [len(each) for each in shares]
    assert max(sizes) - min(sizes) <= 1


# ---------------------------------------------------------------------- messages


def test_messages_come_back_as_they_were() -> None:
    sent = [
        protocol.Hello(7, "a machine", {"python": "3"}),
        protocol.Start(
            {"shoppers": protocol.LoadPlan("shoppers", (LoadSegment(1 / 3, 2.0, 20.0),), "all")}, 1.5
        ),
        messages.Route(4, (Address("gateway-east", "127.64.0.2", 8080, 0.1 + 0.2),)),
        protocol.Left("shopper-1", 1 / 3, "left", None),
        protocol.Leave(),
    ]
    assert protocol.CODEC.decode(protocol.CODEC.encode(*sent)) == sent


def test_a_batch_travels_in_an_envelope() -> None:
    batch = protocol.CODEC.encode(protocol.Broken('it said "no" ö')).decode()
    (envelope,) = protocol.SOCKET.decode(protocol.SOCKET.encode(protocol.Envelope("w-1", batch)))
    assert envelope.worker == "w-1"
    assert protocol.CODEC.decode(envelope.batch) == [protocol.Broken('it said "no" ö')]


# ---------------------------------------------------------------------- clocks


class Time:
    def __init__(self, now_s: float) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


def exchange(estimate: OffsetEstimate, here: Time, offset_s: float, there_s: float, back_s: float) -> None:
    """A question that takes `there_s` to a master whose clock is `offset_s` ahead, and an answer."""
    estimate.start_exchange()
    here.now_s += there_s
    answer_s = here.now_s + offset_s
    here.now_s += back_s
    estimate.finish_exchange(estimate.sent_s, answer_s)


def test_the_quickest_exchange_decides() -> None:
    here = Time(1000.0)
    estimate = OffsetEstimate(here)
    for there_s, back_s in ((0.2, 0.001), (0.001, 0.0014), (0.05, 0.3)):
        exchange(estimate, here, -400.0, there_s, back_s)
    assert estimate.uncertain_s == pytest.approx(0.0012)
    assert abs(estimate.offset_s - -400.0) <= estimate.uncertain_s
    assert estimate.offset_s == pytest.approx(-400.0, abs=0.0003)


def test_an_answer_to_another_question_counts_nothing() -> None:
    here = Time(10.0)
    estimate = OffsetEstimate(here)
    exchange(estimate, here, 5.0, 0.01, 0.01)
    estimate.start_exchange()
    estimate.finish_exchange(3.0, 99.0)
    assert estimate.waiting
    assert estimate.offset_s == pytest.approx(5.0)


def test_a_steered_clock_never_jumps_and_comes_to_be_right() -> None:
    async def main() -> None:
        here = Time(100.0)
        clock = SteeredClock(90.0, 3.0, here)
        assert clock.now() == pytest.approx(13.0)
        here.now_s += 5.0
        before_s = clock.now()
        clock.steer(3.002)
        assert clock.now() == pytest.approx(before_s)
        for _ in range(100):
            here.now_s += 0.1
            step_s = clock.now() - before_s
            assert 0.1 * (1 - SLEW) - 1e-9 <= step_s <= 0.1 * (1 + SLEW) + 1e-9
            before_s = clock.now()
        assert clock.now() == pytest.approx(here.now_s + 3.002 - 90.0)
        clock.steer(3.0)
        here.now_s += 1.0
        assert clock.now() == pytest.approx(here.now_s + 3.002 - SLEW - 90.0)

    asyncio.run(main())


# ---------------------------------------------------------------------- figures and options


def test_lateness() -> None:
    assert lateness([]) is None
    found = lateness([0.001 * n for n in range(199)] + [2.0])
    assert found is not None
    assert (found.sessions, found.max_s, found.late) == (200, 2.0, 99)
    assert found.median_s == pytest.approx(0.099)
    assert found.p99_s == pytest.approx(0.197)


@pytest.mark.parametrize("command", [["run", "experiments/live", "--runtime", "live", "--load", "locust"],
                                     ["load", "worker", "--master", "127.0.0.1:5557"]])  # fmt: skip
def test_without_locust_it_is_said_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.setattr("harness.live.options.find_spec", lambda name: None)
    assert invoke(command) == 4
    assert "install the extra 'load'" in capsys.readouterr().err


def test_the_harness_imports_neither_locust_nor_gevent() -> None:
    """Both change the interpreter they are imported into."""
    code = (
        "import sys, json, harness.cli.main, harness.live.runtime, harness.engine.suite\n"
        "print(json.dumps([m for m in sys.modules if m.partition('.')[0] in ('locust', 'gevent')]))"
    )
    assert json.loads(run_python(code)) == []


# ---------------------------------------------------------------------- users

USER_SLOTS = """
import json, sys, time
from harness.live.locust.users import AHEAD_S, MIN_USERS, UserSlots, ArrivalShape
from harness.workload.schedule import Arrival
import gevent

begun, added, needs, over = [], [], [], []

def start(arrival, on_end):
    begun.append((arrival.index, time.monotonic() - start_s))
    over.append(on_end)

def add(users):
    added.append(users)
    for _ in range(users):
        gevent.spawn(slots.run_session)

slots = UserSlots(start, needs.append, add)
start_s = time.monotonic()
for _ in range(2):
    gevent.spawn(slots.run_session)
gevent.sleep(0)
waiting = slots.waiting
ats = [0.0, 0.3, 0.6, 0.9, 1.2, AHEAD_S + 30]
slots.schedule([Arrival(at, "load", n) for n, at in enumerate(ats)], lambda: time.monotonic() - start_s)
gevent.sleep(1.3)
shape = ArrivalShape(3)
ticks = [shape.tick()]
shape.require(MIN_USERS + 9); ticks.append(shape.tick())
shape.require(MIN_USERS + 5); ticks.append(shape.tick())
ticks = [users - 3 * MIN_USERS for users, _ in ticks]
print(json.dumps({"waiting": waiting, "begun": begun, "added": added, "needs": needs, "ats": ats, "ticks": ticks}))
"""


def test_the_schedule_waits_for_nobody() -> None:
    """Two users for five arrivals, no session that ends, and a Locust that spawns nobody: all come in time."""
    pytest.importorskip("greenlet", reason="the extra 'load' is not installed")
    found: dict[str, Any] = json.loads(run_python(USER_SLOTS))
    assert found["waiting"] == 2
    assert [index for index, _ in found["begun"]] == [0, 1, 2, 3, 4]
    for (_, begun_s), at_s in zip(found["begun"], found["ats"], strict=False):
        # A session is handed over before its time, and waits for it in its own loop.
        assert begun_s < at_s + 0.1
    assert sum(found["added"]) == 3
    assert found["needs"][0] == 5
    assert found["ticks"] == [0, 27, 27]


def run_python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
