"""Work in this process and in others: outcomes, events, order, and workers that die."""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.engine.events import EngineEvent, Handler, Progress
from harness.engine.executor import (
    STOPPED,
    Executor,
    MessagePipe,
    Outcome,
    ProcessExecutor,
    SerialExecutor,
    Work,
)
from harness.engine.experiment import record_arm
from harness.engine.plan import make_plan
from harness.engine.rundir import run_directory, staging_directory
from harness.sim.options import SimOptions
from tests.engine.support import experiment_text, load


@dataclass(frozen=True)
class Emit:
    """Emits its number twice, then returns it."""

    what: int

    def __call__(self, emit: Handler) -> int:
        emit(Progress("x", self.what, "main", 1, 2, 0))
        emit(Progress("x", self.what, "main", 2, 2, 0))
        return self.what


@dataclass(frozen=True)
class Fail:
    def __call__(self, emit: Handler) -> int:
        raise ValueError("on purpose")


@dataclass(frozen=True)
class Die:
    """As when the kernel runs out of memory."""

    def __call__(self, emit: Handler) -> int:
        os.kill(os.getpid(), signal.SIGKILL)
        return 0


@dataclass(frozen=True)
class Exit:
    def __call__(self, emit: Handler) -> int:
        os._exit(7)


@dataclass(frozen=True)
class Wait:
    """Until it is interrupted; then it emits that it was."""

    def __call__(self, emit: Handler) -> int:
        try:
            emit(Progress("x", 0, "main", 0, 0, 0))
            time.sleep(60)  # noqa: TID251 - a process that waits to be interrupted
        except KeyboardInterrupt:
            emit(Progress("x", 0, "main", 1, 1, 0))
            raise KeyboardInterrupt("cleaned up") from None
        return 0


class Recorder:
    def __init__(self) -> None:
        self.events: list[EngineEvent] = []
        self.began: list[int] = []

    def executor(self, size: int) -> Executor:
        if size == 1:
            return SerialExecutor(self.events.append, self.began.append)
        return ProcessExecutor(size, self.events.append, self.began.append)


@pytest.mark.parametrize("size", [1, 2])
def test_every_outcome_follows_its_events(size: int) -> None:
    recorder = Recorder()
    executor = recorder.executor(size)
    for key in range(5):
        executor.submit(key, Emit(key * 10))
    executor.submit(5, Fail())
    outcomes: dict[int, Outcome] = {}
    for done in executor.outcomes():
        outcomes[done.key] = done
        if done.error is None:
            assert [
                e.done_s for e in recorder.events if isinstance(e, Progress) and e.seed == done.value
            ] == [
                1,
                2,
            ]
    executor.stop()
    assert {key: done.value for key, done in outcomes.items()} == {0: 0, 1: 10, 2: 20, 3: 30, 4: 40, 5: None}
    assert outcomes[5].error == "ValueError: on purpose"
    assert "raise ValueError" in outcomes[5].detail
    assert sorted(recorder.began) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("size", [1, 2])
def test_submitted_work_can_be_the_next_to_start(size: int) -> None:
    recorder = Recorder()
    executor = recorder.executor(size)
    for key in range(4):
        executor.submit(key, Emit(key))
    more = [9]
    for _ in executor.outcomes():
        if more:
            executor.submit(more.pop(), Emit(9), first=True)
    executor.stop()
    assert recorder.began.index(9) < 4
    assert sorted(recorder.began) == [0, 1, 2, 3, 9]


def test_a_worker_that_dies_costs_only_what_it_did() -> None:
    recorder = Recorder()
    executor = recorder.executor(2)
    work: list[Work] = [Die(), Emit(1), Exit(), Emit(3), Emit(4)]
    for key, item in enumerate(work):
        executor.submit(key, item)
    outcomes = {done.key: done for done in executor.outcomes()}
    executor.stop()
    assert [outcomes[key].value for key in (1, 3, 4)] == [1, 3, 4]
    assert outcomes[0].error == "its worker process died: killed by SIGKILL (out of memory?)"
    assert outcomes[2].error == "its worker process died: exit code 7"


def test_stopping_interrupts_what_is_running_and_receives_its_final_outcome() -> None:
    recorder = Recorder()
    executor = recorder.executor(2)
    pieces: list[Work] = [Wait(), Emit(1), Emit(2)]
    for key, work in enumerate(pieces):
        executor.submit(key, work)
    outcomes = executor.outcomes()
    finished = {next(outcomes).key, next(outcomes).key}
    assert finished == {1, 2}
    while not any(isinstance(event, Progress) and event.seed == 0 for event in recorder.events):
        # Both others were done by one worker while this one was still starting.
        recorder.events.append(executor._workers[0].messages.recv())  # type: ignore[attr-defined]
    reasons = executor.stop()
    assert reasons == {0: "cleaned up"}
    assert isinstance(recorder.events[-1], Progress)
    assert recorder.events[-1].done_s == 1


def test_stopping_before_a_worker_has_begun_leaves_nothing() -> None:
    recorder = Recorder()
    executor = recorder.executor(2)
    executor.submit(0, Wait())
    executor.submit(1, Emit(1))
    assert next(executor.outcomes()).key == 1
    reasons = executor.stop()
    assert reasons[0] in (STOPPED, "cleaned up")
    assert list(executor.outcomes()) == []


def test_messages_go_through_a_pipe() -> None:
    mine, its = multiprocessing.Pipe()
    with mine, its:
        MessagePipe(mine).send({"key": [1, None, "two"]})
        assert MessagePipe(its).recv() == {"key": [1, None, "two"]}
        its.close()
        with pytest.raises(OSError):
            MessagePipe(mine).send("no reader")
        with pytest.raises((EOFError, OSError)):
            MessagePipe(mine).recv()


def test_an_arm_with_a_broken_pipe_leaves_no_buffer_that_complains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The traceback of the broken pipe is garbage when `record_arm` collects: nothing in it may fail to be closed."""
    complaints: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", complaints.append)
    (loaded,) = load(tmp_path, experiment_text(load_for="18s", arrive="1/s"))
    mine, its = multiprocessing.Pipe()
    its.close()
    with mine:
        run = run_directory(tmp_path, "run", 1)
        record_arm(loaded, SimOptions(), make_plan(loaded, 1, ()), run, 0, MessagePipe(mine).send)
    gc.collect()
    assert complaints == []
    metadata = json.loads((staging_directory(run) / "0" / "metadata.json").read_text(encoding="utf-8"))
    assert any("BrokenPipeError" in failure for failure in metadata["failures"])
