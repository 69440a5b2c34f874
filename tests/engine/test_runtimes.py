"""A further runtime is one entry of `RUNTIMES`: what reads, validates and runs experiments knows none by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest

from harness.diagnostics import Code
from harness.engine.read import read_experiments
from harness.engine.runtimes import RUNTIMES, all_options, runtime_options
from harness.engine.suite import run_suite
from harness.errors import ExperimentError, UsageError
from harness.faults.primitives import Capability
from harness.runtime.options import Capabilities, Lack, Option
from tests.engine.support import experiment_text, write

KILLS = Capabilities(
    dict.fromkeys((Capability.KILL, Capability.START), "kill"), {Capability.PAUSE: Lack("it never waits")}
)


@dataclass(frozen=True)
class FakeOptions:
    """Virtual time under another name, with one option, that can only kill."""

    speed: str = "slow"

    name: ClassVar[str] = "fake"
    summary: ClassVar[str] = "somewhere else"
    deterministic: ClassVar[bool] = False
    concurrent: ClassVar[bool] = True
    runtime: ClassVar[str] = "harness.sim.runtime:SimRuntime"
    options: ClassVar[tuple[Option, ...]] = (Option("speed", "How fast.", choices=("slow", "fast")),)

    @classmethod
    def from_arguments(cls, given: Mapping[str, Any]) -> FakeOptions:
        return cls(**given)

    def arguments(self) -> tuple[str, ...]:
        return ("--speed", self.speed)

    def problems(self, jobs: int = 1) -> tuple[str, ...]:
        return ("--speed fast: not today",) if self.speed == "fast" else ()

    def capabilities(self) -> Capabilities:
        return KILLS


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cast(dict[str, Any], RUNTIMES), "fake", FakeOptions)


def for_fake(text: str) -> str:
    return text.replace("load:", "runtime: fake\nload:", 1)


def test_experiments_are_validated_for_it(tmp_path: Path) -> None:
    (file,) = write(tmp_path, for_fake(experiment_text()))
    assert read_experiments([file])[0].experiment.runtime == "fake"
    file.write_text(
        file.read_text(encoding="utf-8").replace("fault: crash", "fault: pause"), encoding="utf-8"
    )
    with pytest.raises(ExperimentError, match="it never waits") as raised:
        read_experiments([file])
    assert [one.code for one in raised.value.diagnostics] == [Code.UNSUPPORTED]


def test_experiments_run_in_it_and_say_how_to_run_them_again(tmp_path: Path) -> None:
    files = write(tmp_path, for_fake(experiment_text()))
    options = FakeOptions()
    finished = run_suite(
        read_experiments(files, options), seeds=[1], jobs=1, reports=tmp_path / "reports", runtime=options
    )
    (result,) = finished.results
    assert " --runtime fake --speed slow --seed 1" in result.replay


def test_what_speaks_against_its_options_is_refused_before_anything_starts(tmp_path: Path) -> None:
    files = write(tmp_path, for_fake(experiment_text()))
    options = FakeOptions("fast")
    with pytest.raises(UsageError, match="not today"):
        run_suite(
            read_experiments(files, options), seeds=[1], jobs=1, reports=tmp_path / "reports", runtime=options
        )
    assert not (tmp_path / "reports").exists()


def test_its_options_come_from_the_command_line() -> None:
    assert "speed" in {option.name for option in all_options()}
    assert runtime_options("fake", {"speed": "fast"}) == FakeOptions("fast")
    for name, given in (("fake", {"speed": "never"}), ("sim", {"speed": "fast"}), ("nowhere", {})):
        with pytest.raises(UsageError):
            runtime_options(name, given)
