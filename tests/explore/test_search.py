"""A search of the bank: sound with all safeguards, and each classic defect is found, shrunk and kept."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from harness.engine.events import Handler
from harness.engine.executor import ProcessExecutor
from harness.engine.read import read_experiment
from harness.engine.suite import run
from harness.explore.campaign import Batch, Limits, Result, search
from harness.explore.keep import keep
from harness.explore.start import Wishes, begin
from harness.explore.trial import Trial, run_trial
from harness.gates.result import Verdict
from tests.cli.support import call

LEDGER = "systems.ledger.system:system"


def wishes(**more: object) -> Wishes:
    return Wishes(**{"target": LEDGER, "for_s": 10.0, "arrive_per_s": 1.0, **more})  # type: ignore[arg-type]


def found(schedules: int, jobs: int = 1, findings: int = 1, first: int = 0, **more: object) -> Result:
    subject, space, _ = begin(wishes(**more), seed=1)
    return search(subject, space, Limits(schedules, findings=findings), jobs=jobs, first=first)


DEFECTS = {
    "store.compare_and_set": ("no-update-lost", ("latency", "http-delay")),
    "store.idempotency": ("deposits-done-once", ("loss",)),
    "store.fencing": ("one-holder", ("pause",)),
}
DEFECTS_OF_INVARIANTS = [name for name, _ in DEFECTS.values()]


@pytest.mark.parametrize("safeguard", DEFECTS)
def test_a_classic_defect_is_found_and_shrunk(safeguard: str, tmp_path: Path) -> None:
    name, faults = DEFECTS[safeguard]
    # Two deposits must meet for an update to be lost.
    arrive_per_s = 2.0 if name == "no-update-lost" else 1.0
    result = found(60, without=(safeguard,), faults=faults, arrive_per_s=arrive_per_s)
    assert result.broken is None
    (finding,) = result.findings
    assert (finding.violation.kind, finding.violation.key) == ("invariant", name)
    assert len(finding.shrunk.schedule) <= 2
    assert finding.shrunk.minimal
    kept = keep(finding, tmp_path)
    assert kept.file is not None
    # It fails until the cause is mended, and then guards it.
    mended = read_experiment(kept.file)
    assert mended.seed == finding.seed
    assert run(mended, reports=tmp_path, without=(safeguard,)).verdict is Verdict.FAILED
    assert run(mended, reports=tmp_path).verdict is not Verdict.FAILED
    assert keep(finding, tmp_path).is_new is False


def test_the_bank_with_its_safeguards_is_sound() -> None:
    result = found(24)
    assert (result.trials, result.findings, result.broken) == (24, (), None)
    assert result.effective > 0


def test_a_trial_is_repeated_exactly() -> None:
    subject, space, calibration = begin(wishes(), seed=1)
    assert calibration.paths == (("customer", "teller"), ("teller", "store"), ("worker", "store"))
    schedule = space.singles[0]
    assert run_trial(subject, schedule, 3) == run_trial(subject, schedule, 3)


def test_findings_do_not_depend_on_the_number_of_processes() -> None:
    one, two = (found(20, jobs, without=("store.fencing",), faults=("pause", "crash")) for jobs in (1, 2))
    assert [finding.key for finding in one.findings] == [finding.key for finding in two.findings]
    assert one.findings == two.findings


def test_a_search_goes_on_where_another_one_ended() -> None:
    result = found(4, first=4)
    assert (result.first, result.trials) == (4, 4)


def test_every_single_fault_and_every_pair_of_two_kinds(tmp_path: Path) -> None:
    arguments = (
        "--for",
        "10s",
        "--jobs",
        "1",
        "--fault",
        "pause",
        "--fault",
        "reset",
        "--output",
        str(tmp_path),
    )
    junit = tmp_path / "junit.xml"
    single = call("fuzz", LEDGER, *arguments, "--exhaustive", "1", "--junit", str(junit), "--json")
    _, space, _ = begin(wishes(faults=("pause", "reset"), exhaustive=2), seed=1)
    assert (single.code, single.document["trials"]) == (0, 1 + len(space.singles))
    assert set(single.document["judged"]) == set(DEFECTS_OF_INVARIANTS)
    suite = ElementTree.parse(junit).getroot()
    assert {case.get("name") for case in suite.iter("testcase")} == set(DEFECTS_OF_INVARIANTS)
    pairs = space.enumerated[len(space.singles) :]
    assert pairs
    assert all(len(pair) == 2 and space.fits(pair) for pair in pairs)
    assert len(set(space.enumerated)) == len(space.enumerated)


class Dying:
    """A batch whose process dies the first time."""

    def __init__(self, batch: Batch, mark: Path) -> None:
        self.batch, self.mark = batch, mark

    def __call__(self, emit: Handler) -> list[Trial]:
        if not self.mark.exists():
            self.mark.touch()
            os._exit(9)
        return self.batch(emit)


def test_the_batch_of_a_worker_that_dies_is_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit = ProcessExecutor.submit

    def dying(self: ProcessExecutor, key: int, work: Batch, **more: bool) -> None:
        submit(self, key, Dying(work, tmp_path / "died"), **more)

    monkeypatch.setattr(ProcessExecutor, "submit", dying)
    result = found(4, jobs=2)
    assert (tmp_path / "died").exists()
    assert (result.trials, result.broken) == (4, None)


def test_misuse_of_the_harness_is_no_finding() -> None:
    subject, space, _ = begin(wishes(target="tests.support.misuse_system:system"), seed=1)
    result = search(subject, space, Limits(4))
    assert result.findings == ()
    assert result.broken is not None


def test_the_command_line(tmp_path: Path) -> None:
    arguments = ("fuzz", LEDGER, "--for", "10s", "--jobs", "1", "--output", str(tmp_path), "--fault", "pause")
    clean = call(*arguments, "--schedules", "3", "--json")
    assert (clean.code, clean.document["verdict"], clean.document["trials"]) == (0, "passed", 3)
    broken = call(*arguments, "--schedules", "60", "--findings", "1", "--without", "store.fencing", "--json")
    assert (broken.code, broken.document["verdict"]) == (1, "failed")
    (finding,) = broken.document["findings"]
    assert finding["property"] == "one-holder"
    assert Path(finding["file"]).is_file()
    for wrong in (("--fault", "flood"), ("--without", "none"), ("--workload", "no"), ("--arrive", "2")):
        assert call(*arguments, "--schedules", "1", *wrong).code == 4
    assert call("fuzz", "nothing").code == 4


def test_another_finding_of_the_same_name_is_not_taken_for_the_first(tmp_path: Path) -> None:
    """Two nodes of a role fail alike: each has an experiment of its own."""
    result = found(60, without=("store.fencing",), faults=("pause",))
    (finding,) = result.findings
    first = keep(finding, tmp_path)
    assert first.file is not None
    text = first.file.read_text(encoding="utf-8")
    elsewhere = re.sub(r"node: [a-z]+-\d", "node: teller-1", text)
    assert elsewhere != text
    first.file.write_text(elsewhere, encoding="utf-8")
    second = keep(finding, tmp_path)
    assert second.is_new
    assert second.file is not None
    assert second.file.name == first.file.name.replace(".chaos", "-2.chaos")
    assert read_experiment(second.file).name == second.file.name.removesuffix(".chaos.yaml")
    assert keep(finding, tmp_path) == replace(second, is_new=False)
