"""Gates on counts, rates, means and extremes: exact facts of a run, or claims with an interval."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.diagnostics import Code
from harness.gates.base import CheckContext
from harness.gates.judge import judge_gates
from harness.gates.registry import gate_kinds
from harness.gates.result import GateResult, Verdict
from harness.history.read import History
from harness.sli.means import mean_bounds
from tests.verdict.support import SYSTEM, history, visits, without_fault

PASSED, FAILED, INCONCLUSIVE = Verdict.PASSED, Verdict.FAILED, Verdict.INCONCLUSIVE


def judged(found: History, **keys: Any) -> GateResult:
    kind = next(kind for key, kind in gate_kinds().items() if key in keys)
    (result,) = judge_gates([kind.model_validate(keys)], found, {})
    assert result.kind == kind.key
    return result


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> History:
    """100 visits before the fault (40 s to 80 s), 200 in it of which 20 fail, one of unknown outcome after it."""
    rows = visits(10, 100) + visits(50, 180, 20, latency_s=0.4)
    rows += [replace(rows[0], t_s=90.0, ok=None, latency_s=None)]
    return history(tmp_path_factory.mktemp("shop"), rows, [(50.0 + n, "shop.failover") for n in range(3)])


@pytest.mark.parametrize(
    ("keys", "verdict", "value"),
    [
        ({"count": "visits", "at_least": 301}, PASSED, 301),
        ({"count": "visits", "at_least": 302}, FAILED, 301),
        ({"count": "visits", "at_most": 300}, FAILED, 301),
        ({"count": "visits", "at_least": 301, "at_most": 301}, PASSED, 301),
        ({"count": "visits", "during": "fault", "at_most": 200}, PASSED, 200),
        ({"count": "visits", "where": "not ok", "at_most": 20}, INCONCLUSIVE, 20),  # one may be
        ({"count": "visits", "where": "not ok", "at_most": 21}, PASSED, 20),
        ({"count": "visits", "where": "not ok", "at_most": 19}, FAILED, 20),
        ({"count": "visits", "where": "ok", "at_least": 281}, INCONCLUSIVE, 280),
        ({"count": "visits", "where": "not ok", "during": "before", "at_most": 0}, PASSED, 0),
    ],
)
def test_count(shop: History, keys: dict[str, Any], verdict: Verdict, value: float) -> None:
    result = judged(shop, **keys)
    assert (result.verdict, result.value, result.interval) == (verdict, value, None)


def test_few_rows_of_an_empty_table_are_no_evidence(tmp_path: Path) -> None:
    empty = history(tmp_path, [])
    assert judged(empty, count="visits", where="not ok", at_most=0).verdict is INCONCLUSIVE
    assert judged(empty, count="visits", at_least=1).verdict is FAILED
    calm = history(tmp_path, visits(10, 10), metadata=without_fault())
    assert judged(calm, count="visits", at_least=1, during="fault").verdict is INCONCLUSIVE


@pytest.mark.parametrize(
    ("keys", "verdict", "value"),
    [
        ({"max": "latency_s", "at_most": "400ms", "where": "ok is not null"}, PASSED, 0.4),
        ({"max": "latency_s", "at_most": "400ms"}, INCONCLUSIVE, 0.4),  # one is not known
        ({"max": "latency_s", "at_most": "300ms"}, FAILED, 0.4),
        ({"max": "latency_s", "at_most": "100ms", "during": "before"}, PASSED, 0.1),
        ({"max": "latency_s", "at_most": "1s", "during": "after", "where": "ok"}, INCONCLUSIVE, None),
        (
            {"max": "1 / (latency_s - 0.4)", "at_most": "1s", "during": "fault"},
            INCONCLUSIVE,
            None,
        ),  # no number
        ({"min": "latency_s", "at_least": "100ms", "where": "ok"}, INCONCLUSIVE, 0.1),
        ({"min": "latency_s", "at_least": "100ms", "during": "fault"}, PASSED, 0.4),
        ({"min": "latency_s", "at_least": "500ms", "during": "fault"}, FAILED, 0.4),
    ],
)
def test_extremes(shop: History, keys: dict[str, Any], verdict: Verdict, value: float | None) -> None:
    result = judged(shop, table="visits", **keys)
    assert (result.verdict, result.value) == (verdict, value)


@pytest.mark.parametrize(
    ("keys", "verdict"),
    [
        ({"at_most": "350ms", "during": "fault"}, FAILED),
        ({"at_most": "401ms", "during": "fault"}, PASSED),
        ({"at_most": "300ms", "where": "latency_s is not null"}, INCONCLUSIVE),
        ({"at_most": "350ms", "where": "latency_s is not null"}, PASSED),
        ({"at_most": "350ms"}, INCONCLUSIVE),  # one value may be of any size
        ({"at_most": "350ms", "during": "after"}, INCONCLUSIVE),
        ({"at_most": "350ms", "where": "t_s < 10.2"}, INCONCLUSIVE),  # of 20 clients
    ],
)
def test_mean(shop: History, keys: dict[str, Any], verdict: Verdict) -> None:
    assert judged(shop, mean="latency_s", table="visits", **keys).verdict is verdict


def test_the_values_of_one_client_are_one_cluster() -> None:
    values = [float(client % 2) for client in range(40) for _ in range(25)]
    rows = mean_bounds(values, range(1000))
    clients = mean_bounds(values, [index // 25 for index in range(1000)])
    assert rows.value == clients.value == 0.5
    assert rows.interval is not None
    assert clients.interval is not None
    # Each client says the same 25 times, so the margin is 5 times as wide.
    assert (clients.interval[1] - 0.5) / (rows.interval[1] - 0.5) == pytest.approx(5, rel=0.05)


@pytest.mark.parametrize(
    ("keys", "verdict", "value"),
    [
        ({"rate": "visits", "at_least": "5/s", "during": "fault"}, PASSED, 5.0),
        ({"rate": "visits", "at_most": "4/s", "during": "fault"}, FAILED, 5.0),
        ({"rate": "visits", "at_least": "6/s", "during": "fault"}, FAILED, 5.0),
        (
            {"rate": "visits", "at_least": "1/s", "during": "fault", "window": "10s"},
            FAILED,
            0.0,
        ),  # nothing from 40 s
        ({"rate": "visits", "at_most": "20/s", "during": "fault", "window": "10s"}, PASSED, 20.0),
        ({"rate": "visits", "at_least": "1/s", "during": "fault", "window": "50s"}, INCONCLUSIVE, None),
        (
            {"throughput": "status * 8", "table": "visits", "at_least": "8kbps", "during": "fault"},
            PASSED,
            8000.0,
        ),
        (
            {"throughput": "status * 8", "table": "visits", "at_least": "9kbps", "during": "fault"},
            FAILED,
            8000.0,
        ),
    ],
)
def test_rates(shop: History, keys: dict[str, Any], verdict: Verdict, value: float | None) -> None:
    result = judged(shop, **keys)
    assert (result.verdict, result.value) == (verdict, value)


@pytest.mark.parametrize(
    ("keys", "verdict"),
    [
        ({"never": "shop.failover"}, FAILED),
        ({"never": "shop.failover", "during": "before"}, PASSED),
        ({"never": "shop.failover", "where": "t_s > 60"}, PASSED),
        (
            {"never": "shop.failover", "where": "(fields->>'why') = 'full'"},
            INCONCLUSIVE,
        ),  # they do not say why
        ({"events": "shop.failover", "at_least": 3, "during": "fault"}, PASSED),
        ({"events": "shop.failover", "at_least": 4}, FAILED),
        ({"events": "shop.failover", "at_most": 2}, FAILED),
        ({"events": "shop.failover", "at_most": 3, "where": "node = 'shopper'"}, PASSED),
    ],
)
def test_events(shop: History, keys: dict[str, Any], verdict: Verdict) -> None:
    assert judged(shop, **keys).verdict is verdict


def test_no_event_where_nothing_is_recorded_is_no_evidence(tmp_path: Path) -> None:
    found = history(tmp_path, visits(10, 100))
    assert judged(found, never="shop.failover", during="before").verdict is PASSED
    assert judged(found, never="shop.failover", during="fault").verdict is INCONCLUSIVE


@pytest.mark.parametrize(
    ("keys", "code", "path"),
    [
        ({"count": "visit", "at_most": 1}, Code.UNKNOWN_NAME, ("count",)),
        ({"count": "visits", "at_most": 1, "where": "okay"}, Code.BAD_EXPRESSION, ("where",)),
        ({"rate": "visits", "at_most": "1/s", "at": "note"}, Code.BAD_EXPRESSION, ("at",)),
        ({"mean": "latency", "table": "visits", "at_most": "1s"}, Code.BAD_EXPRESSION, ("mean",)),
        ({"mean": "avg(latency_s)", "table": "visits", "at_most": "1s"}, Code.BAD_EXPRESSION, ("mean",)),
        ({"max": "latency_s", "table": "visits", "at_most": "1MB"}, Code.BAD_UNIT, ("at_most",)),
        ({"min": "latency_s", "table": "visit", "at_least": "1s"}, Code.UNKNOWN_NAME, ("table",)),
        ({"never": "shop.failver"}, Code.UNKNOWN_NAME, ("never",)),
        ({"events": "shop.failover", "at_least": 1, "where": "nod = 'x'"}, Code.BAD_EXPRESSION, ("where",)),
        (
            {
                "every": {"table": "visits", "key": "order_id"},
                "in": {"table": "visits", "key": "note"},
                "within": "1s",
            },
            Code.BAD_EXPRESSION,
            ("every", "key"),
        ),
    ],
)
def test_what_does_not_fit_the_system_is_reported(
    keys: dict[str, Any], code: Code, path: tuple[str, ...]
) -> None:
    kind = next(kind for key, kind in gate_kinds().items() if key in keys)
    context = CheckContext(SYSTEM, {}, 80.0, 120.0, 40.0)
    (found,) = kind.model_validate(keys).check(context)
    assert (found.code, found.path) == (code, path)
