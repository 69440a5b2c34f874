"""`harness compare` and `harness gate --baseline`: what is worse is named; what cannot be told is never green."""

from __future__ import annotations

import shutil
import sys
from contextlib import ExitStack
from itertools import combinations
from pathlib import Path

import pytest

from harness.cli.selection import load_files
from harness.engine.suite import run_suite
from harness.verdict.comparison import Change, compare_runs
from harness.verdict.recorded import RecordedRun
from tests.cli.support import Called, call, write_suite
from tests.support import toy_system

# No fault, many short visits: `quick` decides, and its threshold of 2 s is far away.
SHOP = """\
experiment: shop
title: Visits are answered quickly
system: tests.support.toy_system:system
load:
  shoppers: {arrive: 8/s, for: 8s, mix: all}
gates:
  - slo: quick
  - slo: answered
drain: 20s
"""


def run(directory: Path, seeds: str = "1", text: str = SHOP) -> Path:
    """Reports of one suite."""
    suite = write_suite(directory, shop=text)
    reports = directory / "reports"
    ended = call("run", suite, "--seeds", seeds, "--jobs", 1, "--reports", reports, "--json")
    assert ended.code == 0, ended.out
    return reports


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("baseline"))


def changes(called: Called) -> dict[str, str]:
    return {gate["gate"]: gate["change"] for one in called.document["comparison"] for gate in one["gates"]}


def test_ten_times_slower_is_named_while_every_threshold_holds(
    baseline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toy_system, "WORK_S", (0.05, 0.15))
    suite = write_suite(tmp_path, shop=SHOP)
    arguments = ("--baseline", baseline, "--jobs", 1, "--reports", tmp_path / "reports")
    ended = call("gate", suite, *arguments, "--json")
    assert ended.code == 1
    assert ended.document["thresholds"] == "passed"
    (experiment,) = ended.document["comparison"]
    quick, answered = experiment["gates"]
    assert (experiment["experiment"], quick["gate"], quick["change"]) == ("shop", "quick", "worse")
    assert quick["line"] == SHOP.splitlines().index("  - slo: quick") + 1
    assert quick["interval"][0] > quick["margin"] > 0
    assert quick["effect"] == pytest.approx(0.12, abs=0.05)
    assert answered["change"] != "worse"
    text = call("gate", "--run", tmp_path / "reports", "--baseline", baseline)
    assert text.code == 1
    assert "worse        quick" in text.out
    assert "thresholds: passed" in text.out
    back = call("compare", tmp_path / "reports", baseline, "--json")
    assert (back.code, changes(back)["quick"]) == (0 if changes(back)["answered"] == "alike" else 2, "better")


def test_no_change_is_alike(baseline: Path, tmp_path: Path) -> None:
    suite = write_suite(tmp_path, shop=SHOP)
    ended = call("gate", suite, "--baseline", baseline, "--jobs", 1, "--reports", tmp_path, "--json")
    assert (ended.code, changes(ended)) == (0, {"quick": "alike", "answered": "alike"})


def test_another_seed_alone_is_not_worse(tmp_path: Path) -> None:
    """Unpaired: the 21 pairs of 7 seeds, with two gates each; at most 5 % may be wrong. Real runs, so it takes 3 s."""
    suite = write_suite(tmp_path, shop=SHOP.replace("8/s, for: 8s", "6/s, for: 4s"))
    done = run_suite(load_files([suite]), seeds=range(7), jobs=1, reports=tmp_path / "reports")
    with ExitStack() as stack:
        runs = [stack.enter_context(RecordedRun(one.run)) for one in done.results]
        found = [
            gate.change
            for first, second in combinations(runs, 2)
            for gate in compare_runs([first], [second])[0].gates
        ]
    assert len(found) == 42
    assert found.count(Change.WORSE) <= 2


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"experiment: shop": "experiment: other"}, "in the baseline only"),
        ({"toy_system": "other_toy"}, "the system differs"),
        ({"  - slo: answered\n": ""}, "the gate 'answered' is in the baseline only"),
    ],
)
def test_what_is_missing_is_never_green(
    baseline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, str], problem: str
) -> None:
    monkeypatch.setitem(sys.modules, "tests.support.other_toy", toy_system)
    text = SHOP
    for old, new in change.items():
        text = text.replace(old, new)
    ended = call("compare", baseline, run(tmp_path, text=text), "--json")
    problems = [one for entry in ended.document["comparison"] for one in entry["problems"]]
    assert ended.code == 2
    assert any(problem in one for one in problems)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("compare", "{baseline}", "{empty}"), 5),
        (("compare", "{baseline}", "{empty}/none"), 4),
        (("compare", "{baseline}", "{baseline}", "--margin", "0%"), 4),
        (("compare", "{baseline}", "{baseline}", "--points", "5ms"), 4),
        (("gate", "--baseline", "{baseline}"), 4),
    ],
)
def test_mistakes_have_their_exit_code(
    baseline: Path, tmp_path: Path, arguments: tuple[str, ...], code: int
) -> None:
    assert call(*(one.format(baseline=baseline, empty=tmp_path) for one in arguments)).code == code


def test_an_altered_baseline_cannot_be_compared(baseline: Path, tmp_path: Path) -> None:
    copy = shutil.copytree((baseline / "latest" / "shop.seed1").resolve(), tmp_path / "copy")
    with (copy / "metadata.json").open("a") as file:
        file.write(" ")
    ended = call("compare", copy, baseline, "--json")
    assert ended.code == 2
    assert "was altered" in ended.document["comparison"][0]["problems"][0]
