"""Each way in which a verdict could be green though nothing was shown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.faults.exposure import Exposure
from harness.gates.event import EventGate
from harness.gates.recovered import RecoveredGate
from harness.gates.result import Verdict, worst
from harness.gates.slo import SloGate
from harness.history.metadata import RunMetadata
from harness.sli.base import Slo
from harness.sli.percentile import PercentileSlo
from harness.sli.ratio import RatioSlo
from tests.verdict.support import (
    CRASH,
    METADATA,
    SLOS,
    SPEED,
    SUCCESS,
    Visit,
    experiment,
    history,
    invariant,
    steady,
    verdict_of,
    visits,
    without_fault,
)

GOOD = SloGate(slo="success")


def rows(bad_before: int = 0) -> list[Visit]:
    return visits(10.0, 100 - bad_before, bad_before) + visits(50.0, 400) + visits(90.0, 100)


def with_fault(**changes: Any) -> RunMetadata:
    return replace(METADATA, faults=(replace(CRASH, **changes),))


def test_the_same_run_is_green_when_all_is_there(tmp_path: Path) -> None:
    result = verdict_of(experiment(GOOD), history(tmp_path, rows()))
    assert result.verdict is Verdict.PASSED
    assert result.reason == "1 of 1 gates hold"


def test_steady_state_unmet_before(tmp_path: Path) -> None:
    result = verdict_of(experiment(GOOD), history(tmp_path, rows(bad_before=40)))
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "steady state was not met" in result.reason
    assert "success" in result.reason


def test_steady_state_unmet_hides_a_breach(tmp_path: Path) -> None:
    broken = visits(10.0, 10, 90) + visits(50.0, 0, 400)
    result = verdict_of(experiment(GOOD), history(tmp_path, broken))
    assert result.gates[0].verdict is Verdict.FAILED
    assert result.verdict is Verdict.INCONCLUSIVE


def test_no_samples_before_the_fault(tmp_path: Path) -> None:
    result = verdict_of(experiment(GOOD), history(tmp_path, visits(50.0, 500)))
    assert result.gates[0].verdict is Verdict.PASSED
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "no samples before the first fault" in result.reason


def test_a_group_that_was_not_there_before_the_fault(tmp_path: Path) -> None:
    result = verdict_of(
        experiment(SloGate(slo="success-by-group")),
        history(tmp_path, rows() + visits(50.0, 100, group="slow")),
    )
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "success-by-group[slow]" in result.reason


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        (with_fault(applied_at_s=None, undone_at_s=None), "never applied"),
        (with_fault(applied_at_s=None, undone_at_s=None, error="no such node"), "no such node"),
        (with_fault(undone_at_s=None), "not undone"),
        (with_fault(error="could not be started again"), "could not be started again"),
        (replace(METADATA, faults=()), "0 of 1 faults"),
        (replace(METADATA, failures=("backend-west ended at 12 s: KeyError",)), "KeyError"),
    ],
)
def test_what_broke_is_an_error(tmp_path: Path, metadata: RunMetadata, said: str) -> None:
    result = verdict_of(experiment(GOOD), history(tmp_path, rows(), metadata=metadata))
    assert result.gates[0].verdict is Verdict.PASSED
    assert result.verdict is Verdict.ERROR
    assert said in result.reason


def test_fault_that_touched_nothing(tmp_path: Path) -> None:
    metadata = with_fault(exposure=Exposure())
    result = verdict_of(experiment(GOOD), history(tmp_path, rows(), metadata=metadata))
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "affected no traffic" in result.reason
    assert result.faults[0].verdict is Verdict.INCONCLUSIVE


def test_one_of_two_faults_touched_nothing(tmp_path: Path) -> None:
    metadata = replace(METADATA, faults=(CRASH, replace(CRASH, name="second", exposure=Exposure())))
    result = verdict_of(experiment(GOOD, faults=2), history(tmp_path, rows(), metadata=metadata))
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "second" in result.reason


def test_no_data(tmp_path: Path) -> None:
    stated = experiment(GOOD, SloGate(slo="speed"), RecoveredGate(recovered="success", within="5s"))
    result = verdict_of(stated, history(tmp_path, []))
    assert {gate.verdict for gate in result.gates} == {Verdict.INCONCLUSIVE}
    assert result.verdict is Verdict.INCONCLUSIVE


def test_no_data_for_an_invariant(tmp_path: Path) -> None:
    """It is not applicable, which is shown; alone it is no verdict."""
    empty = history(tmp_path, [], metadata=invariant("latency_s < 0"))
    result = verdict_of(experiment(), empty)
    assert (result.verdict, result.gates) == (Verdict.INCONCLUSIVE, ())
    assert result.notes == ("invariant sane is not applicable: table visits has no rows",)


MISTYPED: list[Slo] = [
    SUCCESS.model_copy(update={"good": "okay"}),
    SUCCESS.model_copy(update={"good": "status"}),
    SUCCESS.model_copy(update={"good": "note"}),
    SUCCESS.model_copy(update={"good": None}),
    SUCCESS.model_copy(update={"good": "ok; select true"}),
    SUCCESS.model_copy(update={"good": "ok), (ok"}),
    SUCCESS.model_copy(update={"good": "ok) from visits; select (true"}),
    SUCCESS.model_copy(update={"good": "bool_and(ok)"}),
    SUCCESS.model_copy(update={"good": ""}),
    SUCCESS.model_copy(update={"where": "grup = 'fast'"}),
    SUCCESS.model_copy(update={"where": "1"}),
    SUCCESS.model_copy(update={"table": "visit"}),
    SUCCESS.model_copy(update={"at": "started_s"}),
    SUCCESS.model_copy(update={"at": '"group"'}),
    SUCCESS.model_copy(update={"by": "grup"}),
    SPEED.model_copy(update={"value": "latency"}),
    SPEED.model_copy(update={"value": "ok"}),
    SPEED.model_copy(update={"value": "note"}),
    SPEED.model_copy(update={"value": "'0.1'"}),
    SPEED.model_copy(update={"at_most": "0.5"}),
    SPEED.model_copy(update={"at_most": "2 fortnights"}),
]


@pytest.mark.parametrize("slo", MISTYPED, ids=lambda slo: str(slo.model_dump(exclude_defaults=True))[-60:])
def test_mistyped_metric(tmp_path: Path, slo: RatioSlo | PercentileSlo) -> None:
    result = verdict_of(experiment(SloGate(slo="it")), history(tmp_path, rows()), slos={"it": slo})
    assert result.verdict is Verdict.ERROR
    assert result.gates[0].verdict is Verdict.ERROR
    assert "it: cannot be computed" in result.reason


def test_unknown_slo(tmp_path: Path) -> None:
    result = verdict_of(experiment(SloGate(slo="succes")), history(tmp_path, rows()))
    assert result.verdict is Verdict.ERROR
    assert "there is no SLO 'succes'; there are success, speed" in result.reason


def test_mistyped_where_of_a_gate(tmp_path: Path) -> None:
    result = verdict_of(experiment(SloGate(slo="success", where="grup = 'x'")), history(tmp_path, rows()))
    assert result.verdict is Verdict.ERROR


def test_where_that_selects_nothing(tmp_path: Path) -> None:
    stated = experiment(SloGate(slo="success", where="\"group\" = 'fibre'"))
    result = verdict_of(stated, history(tmp_path, rows()))
    assert result.verdict is Verdict.INCONCLUSIVE
    assert result.gates[0].samples == 0


def test_no_gate(tmp_path: Path) -> None:
    assert verdict_of(experiment(), history(tmp_path, rows())).verdict is Verdict.INCONCLUSIVE


def test_empty_selection() -> None:
    assert worst([]) is Verdict.INCONCLUSIVE


def test_values_that_are_missing_are_the_worst(tmp_path: Path) -> None:
    slow = [*visits(50.0, 400), *visits(55.0, 100, latency_s=None)]
    result = verdict_of(experiment(SloGate(slo="speed")), history(tmp_path, steady() + slow))
    assert result.verdict is Verdict.FAILED
    assert result.gates[0].unknown == 100
    assert "600 samples (100 unknown, counted as bad)" in result.reason


def test_values_that_are_not_numbers_are_the_worst(tmp_path: Path) -> None:
    nan = SPEED.model_copy(update={"value": "case when t_s < 40 then 0.1 else 'nan'::double end"})
    result = verdict_of(experiment(SloGate(slo="it")), history(tmp_path, rows()), slos={"it": nan})
    assert result.verdict is Verdict.FAILED


@pytest.mark.parametrize("slo", [SUCCESS, SUCCESS.model_copy(update={"good": None, "bad": "not ok"})])
def test_what_is_unknown_is_not_good(tmp_path: Path, slo: RatioSlo) -> None:
    unknown = [replace(visit, ok=None) for visit in visits(50.0, 400)]
    result = verdict_of(
        experiment(SloGate(slo="it")), history(tmp_path, steady() + unknown), slos={"it": slo}
    )
    assert result.verdict is Verdict.FAILED
    assert result.gates[0].value == pytest.approx(0.2)


@pytest.mark.parametrize("unknown", ["null", "'nan'::double", "'inf'::double"])
@pytest.mark.parametrize("during", ["before", "fault", "after"])
def test_rows_without_a_moment_count_as_bad_in_every_window(
    tmp_path: Path, during: str, unknown: str
) -> None:
    slo = SUCCESS.model_copy(update={"at": f"case when note = 'lost' then {unknown} else t_s end"})
    lost = visits(50.0, 50, note="lost")
    gate = SloGate.model_validate({"slo": "it", "during": during})
    result = verdict_of(experiment(gate), history(tmp_path, rows() + lost), slos={"it": slo})
    samples = {"before": 100, "fault": 400, "after": 100}[during]
    assert (result.gates[0].samples, result.gates[0].unknown) == (samples + 50, 50)
    assert result.gates[0].value == pytest.approx(samples / (samples + 50))
    assert result.verdict is not Verdict.PASSED


def test_rows_without_a_moment_are_as_they_are_where_all_time_counts(tmp_path: Path) -> None:
    slo = SUCCESS.model_copy(update={"at": "case when ok then t_s end"})
    (gate,) = verdict_of(
        experiment(GOOD.model_copy(update={"slo": "it"})), history(tmp_path, rows()), slos={"it": slo}
    ).gates
    assert (gate.unknown, gate.verdict) == (0, Verdict.PASSED)


NOTED = [*steady(), *visits(50.0, 400)]


@pytest.mark.parametrize("slo", [SUCCESS, SPEED])
@pytest.mark.parametrize("in_gate", [True, False])
def test_rows_for_which_where_is_unknown_are_bad(tmp_path: Path, slo: Slo, in_gate: bool) -> None:
    """Each row has a note but the failed ones, so that `note <> 'x'` is null for these."""
    noted = [replace(visit, note="a") for visit in NOTED]
    failed = visits(60.0, 100)
    where = "note <> 'x'"
    gate = SloGate(slo="it", where=where if in_gate else None)
    stated = slo if in_gate else slo.model_copy(update={"where": where})
    (result,) = verdict_of(experiment(gate), history(tmp_path, noted + failed), slos={"it": stated}).gates
    assert (result.verdict, result.samples, result.unknown) == (Verdict.FAILED, 600, 100)


@pytest.mark.parametrize(
    "slo",
    [
        SUCCESS.model_copy(update={"good": good})
        for good in (
            "0.0 / (status - 200) >= 0.9",
            "1.0 / (status - 200) >= 0.9",
            "case when status = 0 then 1.0 else 'nan'::double end >= 0.9",
            "pow(-1.0, 0.5) > 0 and ok",
        )
    ]
    + [
        SUCCESS.model_copy(update={"good": None, "bad": "not (0.0 / (status - 200) >= 0.9)"}),
        SPEED.model_copy(update={"value": "-1.0 / (status - 200)"}),
        SPEED.model_copy(update={"value": "'-inf'::double"}),
        SPEED.model_copy(update={"value": "0.0 / (status - 200)"}),
        SUCCESS.model_copy(update={"where": "0.0 / (status - 200) > 1"}),
    ],
    ids=lambda slo: str(slo.model_dump(exclude_defaults=True))[-60:],
)
def test_arithmetic_without_a_finite_result_is_bad(tmp_path: Path, slo: Slo) -> None:
    (result,) = verdict_of(experiment(SloGate(slo="it")), history(tmp_path, rows()), slos={"it": slo}).gates
    assert (result.verdict, result.unknown, result.samples) == (Verdict.FAILED, 600, 600)


@pytest.mark.parametrize(
    "good",
    [
        "status = 200 or 1 / (status - 200) > 0.9",
        "coalesce(1 / (status - 200) > 0.9, true)",
        "isfinite(t_s / 2)",
    ],
)
def test_a_guarded_division_is_known(tmp_path: Path, good: str) -> None:
    slo = SUCCESS.model_copy(update={"good": good})
    (result,) = verdict_of(experiment(SloGate(slo="it")), history(tmp_path, rows()), slos={"it": slo}).gates
    assert (result.verdict, result.unknown) == (Verdict.PASSED, 0)


@pytest.mark.parametrize("violated", ["latency_s < 0", "0.0 / (status - 200) > 1"])
def test_an_invariant_with_unknown_rows_does_not_pass(tmp_path: Path, violated: str) -> None:
    unknown = visits(50.0, 5, latency_s=None)
    found = history(tmp_path, [*steady(), *unknown], metadata=invariant(violated))
    (result,) = verdict_of(experiment(), found).gates
    assert result.verdict is Verdict.INCONCLUSIVE
    assert result.unknown == (5 if "latency" in violated else 105)


def test_a_violation_is_a_failure_also_beside_unknown_rows(tmp_path: Path) -> None:
    mixed = [*steady(), *visits(50.0, 5, latency_s=None), *visits(55.0, 1, latency_s=-1.0)]
    (result,) = verdict_of(experiment(), history(tmp_path, mixed, metadata=invariant("latency_s < 0"))).gates
    assert (result.verdict, result.value, result.unknown) == (Verdict.FAILED, 1, 5)


@pytest.mark.parametrize(
    "gate",
    [
        SloGate(slo="success", during="fault"),
        SloGate(slo="success", during="after"),
        RecoveredGate(recovered="success", within="5s"),
        EventGate(event="shop.failover", within="5s"),
    ],
)
def test_a_gate_on_a_fault_that_there_is_not(tmp_path: Path, gate: SloGate) -> None:
    stated = experiment(gate, faults=0)
    result = verdict_of(stated, history(tmp_path, rows(), [(50.0, "shop.failover")], without_fault()))
    assert result.gates[0].verdict is Verdict.INCONCLUSIVE
    assert result.verdict is Verdict.INCONCLUSIVE


def test_a_target_of_all_is_never_shown(tmp_path: Path) -> None:
    result = verdict_of(experiment(SloGate(slo="success", target="100%")), history(tmp_path, rows()))
    assert result.gates[0].verdict is Verdict.INCONCLUSIVE
    assert result.gates[0].needs is None


def test_too_few_samples(tmp_path: Path) -> None:
    stated = experiment(SloGate(slo="success", target="99.9%"))
    result = verdict_of(stated, history(tmp_path, rows()))
    assert result.gates[0].verdict is Verdict.INCONCLUSIVE
    assert result.gates[0].needs == 2995 - 600
    assert SLOS["success"] is SUCCESS


def test_a_group_of_clients_that_never_reports_is_not_absent(tmp_path: Path) -> None:
    stated, groups = experiment(SloGate(slo="success-by-group")), ("fast", "mute")
    result = verdict_of(stated, history(tmp_path, rows(), metadata=replace(METADATA, groups=groups)))
    assert result.verdict is Verdict.INCONCLUSIVE
    assert [(gate.name, gate.verdict) for gate in result.gates] == [
        ("success-by-group[fast]", Verdict.PASSED),
        ("success-by-group[mute]", Verdict.INCONCLUSIVE),
    ]


def test_a_column_that_is_not_the_group_of_clients(tmp_path: Path) -> None:
    by_status = SUCCESS.model_copy(update={"by": "status"})
    found = history(tmp_path, rows(), metadata=replace(METADATA, groups=("fast", "mute")))
    result = verdict_of(experiment(SloGate(slo="it")), found, slos={"it": by_status})
    assert [gate.name for gate in result.gates] == ["it[200]"]


def test_a_group_that_where_excludes_is_not_missing(tmp_path: Path) -> None:
    slow = visits(10.0, 0, 100, group="slow")
    slo = SLOS["success-by-group"].model_copy(update={"where": "\"group\" <> 'slow'"})
    found = history(tmp_path, rows() + slow, metadata=replace(METADATA, groups=("fast", "slow")))
    assert verdict_of(experiment(SloGate(slo="it")), found, slos={"it": slo}).verdict is Verdict.PASSED


@pytest.mark.parametrize("slo", ["success", "speed", "success-by-group"])
def test_all_rows_before_the_fault(tmp_path: Path, slo: str) -> None:
    early = [*steady(), *visits(20.0, 400)]
    result = verdict_of(experiment(SloGate(slo=slo)), history(tmp_path, early))
    assert result.gates[0].verdict is Verdict.INCONCLUSIVE
    assert "before the first fault" in result.gates[0].reason
    before = verdict_of(experiment(SloGate(slo=slo, during="before")), history(tmp_path, early))
    assert before.gates[0].verdict is Verdict.PASSED


def test_a_group_that_is_silent_from_the_fault_on(tmp_path: Path) -> None:
    found = history(tmp_path, rows() + visits(20.0, 300, group="slow"))
    result = verdict_of(experiment(SloGate(slo="success-by-group")), found)
    assert [gate.verdict for gate in result.gates] == [Verdict.PASSED, Verdict.INCONCLUSIVE]


def test_a_where_that_keeps_survivors_only_is_noted(tmp_path: Path) -> None:
    """Half of the visits under the fault have no latency, and the SLO looks away."""
    rows = steady() + visits(50.0, 400) + visits(60.0, 400, latency_s=None)
    slos: dict[str, Slo] = {"speed": SPEED.model_copy(update={"where": "latency_s is not null"})}
    result = verdict_of(experiment(SloGate(slo="speed")), history(tmp_path, rows), slos=slos)
    assert result.verdict is Verdict.PASSED
    assert result.notes == (
        "speed: its 'where' drops 400 of 800 rows of visits under the faults (50.0%), 0% before them: it may judge "
        "survivors only",
    )
    calm = (
        steady() + visits(11.0, 100, latency_s=None) + visits(50.0, 400) + visits(60.0, 400, latency_s=None)
    )
    assert verdict_of(experiment(SloGate(slo="speed")), history(tmp_path, calm), slos=slos).notes == ()
