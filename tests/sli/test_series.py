"""Charts and verdicts read one query: what is drawn adds up to what is judged."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.sli.base import Series, SliResult, Slo
from harness.sli.query import Window
from harness.sli.statistics import percentile
from tests.verdict.support import SPEED, SUCCESS, Visit, history, visits

END_S = 120.0
BAD = SUCCESS.model_copy(update={"good": None, "bad": "not ok"})
# Rows without a moment, and with one outside of the run, count in the verdict on all rows.
ODD_MOMENTS = SUCCESS.model_copy(
    update={
        "at": "case when latency_s is null then null when latency_s > 0.9 then 'inf'::double else t_s - 30 end"
    }
)

rows = st.lists(
    st.builds(
        Visit,
        t_s=st.floats(0, 130),
        group=st.sampled_from(["fast", "slow"]),
        ok=st.sampled_from([True, False, None]),
        latency_s=st.one_of(st.none(), st.floats(0, 1)),
    ),
    max_size=60,
)
quick = settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


def measured(
    slo: Slo, directory: Path, found: list[Visit], slice_s: float = 2.0, where: str | None = None
) -> tuple[list[SliResult], Series]:
    with history(directory, found) as recorded:
        threshold = slo.threshold({})
        measurements = [one for one in slo.measure(recorded, where, Window(), threshold) if one.samples]
        return measurements, slo.series(recorded, where, slice_s, END_S)


@given(rows, st.sampled_from([SUCCESS, BAD, ODD_MOMENTS]), st.sampled_from([0.5, 2.0, 7.0]))
@quick
def test_a_ratio_is_drawn_as_it_is_judged(
    tmp_path: Path, found: list[Visit], slo: Slo, slice_s: float
) -> None:
    by_group = slo.model_copy(update={"by": "group"})
    for one in (slo, by_group):
        measurements, series = measured(one, tmp_path, found, slice_s, where="\"group\" <> 'none'")
        assert series.samples == sum(each.samples for each in measurements)
        not_good = sum(each.samples * (1 - (each.value or 0.0)) for each in measurements)
        assert series.points[-1] == (END_S, pytest.approx(not_good))
        assert [t for t, _ in series.points] == sorted(t for t, _ in series.points)
        assert [count for _, count in series.points] == sorted(count for _, count in series.points)


@given(rows)
@quick
def test_a_percentile_is_drawn_as_it_is_judged(tmp_path: Path, found: list[Visit]) -> None:
    measurements, series = measured(SPEED, tmp_path, found, slice_s=200.0)
    assert series.samples == sum(each.samples for each in measurements)
    for each, (_, value) in zip(measurements, series.points, strict=True):
        assert each.value == (value if math.isfinite(value) else None)


def test_a_missing_value_is_drawn_as_the_worst(tmp_path: Path) -> None:
    found = [*visits(10, 19), *(replace(visit, latency_s=None) for visit in visits(10.5, 2))]
    _, series = measured(SPEED, tmp_path, found, slice_s=1.0)
    assert series.points == ((10.5, math.inf),)
    assert "no value" in SPEED.describe_series({"main": series})
    _, calm = measured(SPEED, tmp_path, visits(10, 19), slice_s=1.0)
    assert calm.points == ((10.5, percentile([0.1], 95)),)
    assert "no value" not in SPEED.describe_series({"main": calm})


def test_a_line_is_level_where_nothing_happens(tmp_path: Path) -> None:
    _, series = measured(SUCCESS, tmp_path, [*visits(10, 5), *visits(41, 0, 3), *visits(100, 5)], slice_s=2.0)
    assert series.points == ((0.0, 0.0), (40.0, 0.0), (42.0, 3.0), (END_S, 3.0))
