"""Experiment files to what is run: found, checked together, and all that is wrong at once."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from harness.diagnostics import Code
from harness.engine.read import find_slos, read_experiments
from harness.errors import ExperimentError
from harness.sim.options import SimOptions
from harness.sli.ratio import RatioSlo
from tests.engine.support import SLOS, experiment_text, load, write


def test_slos_come_from_the_nearest_file_above(tmp_path: Path) -> None:
    (near,) = write(tmp_path / "a" / "b", experiment_text("near"), slos=SLOS.replace("92%", "80%"))
    far_directory = tmp_path / "a" / "c" / "d"
    far_directory.mkdir(parents=True)
    far = far_directory / "far.chaos.yaml"
    far.write_text(experiment_text("far"), encoding="utf-8")
    (tmp_path / "a" / "slos.yaml").write_text(SLOS, encoding="utf-8")
    one, two = read_experiments([near, far])
    assert [item.experiment.experiment for item in (one, two)] == ["near", "far"]
    targets = [slo.target for item in (one, two) for slo in item.slos.values() if isinstance(slo, RatioSlo)]
    assert targets == pytest.approx([0.8, 0.92])
    assert find_slos(far) == tmp_path / "a" / "slos.yaml"
    assert two.gate_lines == (9, 10)


def test_the_mistakes_of_all_files_are_reported_together(tmp_path: Path) -> None:
    files = write(
        tmp_path,
        experiment_text("one", timeline="- {at: 8s, for: 4s, fault: crsh, target: {role: backend}}"),
        experiment_text("two", gates="- {slo: sucess}", arms=""),
        experiment_text("three").replace("mix: all", "mix: most"),
        slos=SLOS.replace("good: ok", "good: okay"),
    )
    with pytest.raises(ExperimentError) as raised:
        read_experiments(files)
    diagnostics = raised.value.diagnostics
    for one, name in zip(diagnostics, ("crsh", "sucess", "most", "okay"), strict=True):
        assert (one.code is Code.BAD_EXPRESSION) == (name == "okay")
        assert name in str(one)
    # The mistake in the SLOs is one, whoever uses them.
    assert [one.line for one in diagnostics] == [7, 9, 5, 5]


def test_two_experiments_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError) as raised:
        load(tmp_path, experiment_text("same"), experiment_text("same"))
    (one,) = raised.value.diagnostics
    assert (one.code, Path(one.file).name, one.line) == (Code.DUPLICATE, "1.chaos.yaml", 1)
    assert "0.chaos.yaml" in one.found


def test_without_slos_an_experiment_that_uses_one_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.chaos.yaml"
    file.write_text(experiment_text(), encoding="utf-8")
    with pytest.raises(ExperimentError) as raised:
        read_experiments([file])
    assert [(one.code, one.line) for one in raised.value.diagnostics] == [(Code.UNREADABLE, 0)]
    gates = "- {event: gateway.retry, within: 5s}"
    file.write_text(experiment_text(gates=gates, arms=""), encoding="utf-8")
    (loaded,) = read_experiments([file])
    assert loaded.slos_file is None


def test_slos_that_cannot_be_read_are_the_one_mistake(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError) as raised:
        load(tmp_path, experiment_text(), slos="success: {table: [")
    assert {Path(diagnostic.file).name for diagnostic in raised.value.diagnostics} == {"slos.yaml"}


def test_what_the_runtime_cannot_do_is_refused_before_anything_starts(tmp_path: Path) -> None:
    lossy = experiment_text().replace("fault: crash", "fault: loss, rate: 5%")
    (file,) = write(tmp_path, lossy.replace("load:", "runtime: live\nload:", 1))
    with pytest.raises(ExperimentError) as raised:
        read_experiments([file])
    (diagnostic,) = raised.value.diagnostics
    assert (diagnostic.code, diagnostic.path) == (Code.UNSUPPORTED, ("timeline", 0, "fault"))
    assert len(read_experiments([file], SimOptions())) == 1


def test_a_ready_experiment_can_be_sent_to_another_process(tmp_path: Path) -> None:
    (loaded,) = load(tmp_path, experiment_text())
    packed = pickle.dumps(loaded.texts())
    loaded.file.write_text("nonsense", encoding="utf-8")
    (tmp_path / "slos.yaml").unlink()
    assert pickle.loads(packed).parse() == loaded
