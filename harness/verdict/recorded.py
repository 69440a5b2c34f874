"""`RecordedRun`: the one reader of a run directory. Everything is read once, when it is first needed."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

from harness.errors import ExperimentError
from harness.experiment.model import Arm, Experiment
from harness.experiment.parse import Draft, parse_draft, parse_slos
from harness.faults.catalogue import FAULTS
from harness.gates.registry import gate_kinds
from harness.history.files import EXPERIMENT, SLOS, alterations
from harness.history.metadata import BrokenHistory, Environment, HistoryError, RunMetadata
from harness.history.read import History
from harness.sli.base import Slo
from harness.sli.kinds import SLO_KINDS

CONTROL = "control"
"""The name of the arm that is the same run without faults."""


@dataclass(frozen=True, slots=True)
class RecordedArm:
    """An ablation arm as the experiment states it, and its history."""

    arm: Arm
    history: History
    line: int | None = None
    """Of the arm in the experiment file."""

    @property
    def name(self) -> str:
        return self.history.environment.arm


class RecordedRun:
    """A run directory: its experiment, its SLOs, the histories of its main run and of its arms.

    Use it as a context manager. Every property raises HistoryError for what cannot be read or is not valid.

        with RecordedRun(Path("reports/latest/toy.seed1")) as run:
            print(run.environment.seed, run.main.query("SELECT count(*) FROM requests"))
    """

    def __init__(self, directory: Path | str) -> None:
        self.directory = directory = Path(directory)
        self._open = ExitStack()
        self.main = self._open.enter_context(History(directory))
        """The history of the main run."""

    @property
    def environment(self) -> Environment:
        return self.main.environment

    @property
    def metadata(self) -> RunMetadata:
        return self.main.metadata

    @cached_property
    def experiment_yaml(self) -> str:
        return self._text(EXPERIMENT)

    @cached_property
    def slos_yaml(self) -> str:
        return self._text(SLOS)

    @cached_property
    def experiment(self) -> Experiment:
        experiment = self._draft.experiment
        if experiment is None:
            raise self._unreadable(ExperimentError(self._draft.problems))
        return experiment

    @cached_property
    def gate_lines(self) -> tuple[int, ...]:
        """For each gate its line in the experiment file."""
        source = self._draft.source
        return tuple(source.mark(("gates", index)).line for index in range(len(self._draft.gates)))

    @cached_property
    def slos(self) -> dict[str, Slo]:
        try:
            return parse_slos(self.slos_yaml, str(self.environment.slos_file), SLO_KINDS)
        except ExperimentError as error:
            raise self._unreadable(error) from error

    @cached_property
    def load_end_s(self) -> float | None:
        """When the last clients arrive, in seconds of the run; None without load."""
        return max((load.duration_s for load in self.experiment.load.values()), default=None)

    @cached_property
    def arms(self) -> tuple[RecordedArm, ...]:
        """The ablation arms that were run, in the order of the experiment."""
        without = self.environment.without
        recorded = [one for one in self._arm_histories if one.environment.arm != CONTROL]
        stated = [
            (arm, self._draft.source.mark(("arms", index)).line)
            for index, arm in enumerate(self.experiment.arms)
            if arm.differs_from(without)
        ]
        if len(stated) != len(recorded):
            raise BrokenHistory(
                f"{self.directory}: its experiment has {len(stated)} arms, but {len(recorded)} were run"
                + self._hint()
            )
        return tuple(
            RecordedArm(arm, history, line) for (arm, line), history in zip(stated, recorded, strict=True)
        )

    @cached_property
    def control(self) -> History | None:
        """The same run without faults, where a gate needs it."""
        return next((one for one in self._arm_histories if one.environment.arm == CONTROL), None)

    @cached_property
    def alterations(self) -> tuple[str, ...]:
        """What is not as it was recorded, in words: `arms/without-x/metadata.json was changed`. Empty: nothing."""
        found = [*alterations(self.directory, self.environment.files)]
        for place, history in zip(self.environment.arms, self._arm_histories, strict=True):
            problems = alterations(history.directory, history.environment.files)
            found += [f"{place.directory}/{problem}" for problem in problems]
        return tuple(found)

    @property
    def history_hashes(self) -> dict[str, str]:
        """The hash of each arm's history by the arm's name, the main run first; not that of the control run."""
        histories = (self.main, *(one for one in self._arm_histories if one.environment.arm != CONTROL))
        return {history.environment.arm: history.environment.history_sha256 for history in histories}

    @cached_property
    def _arm_histories(self) -> tuple[History, ...]:
        return tuple(
            self._open.enter_context(History(self.directory / place.directory))
            for place in self.environment.arms
        )

    @cached_property
    def _draft(self) -> Draft:
        try:
            return parse_draft(self.experiment_yaml, self.environment.file, FAULTS, gate_kinds())
        except ExperimentError as error:
            raise self._unreadable(error) from error

    def _text(self, name: str) -> str:
        try:
            return (self.directory / name).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> HistoryError:
        return BrokenHistory(f"{self.directory}: its experiment cannot be read: {error}{self._hint()}")

    def _hint(self) -> str:
        changes = "; ".join(self.alterations)
        return f" ({changes} since it was recorded)" if changes else ""

    def close(self) -> None:
        self._open.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
