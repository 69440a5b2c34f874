"""The messages on the control socket of a system that is up: one request and one answer; `ask` sends a request."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from harness.errors import UsageError
from harness.faults.exposure import Exposure
from harness.faults.primitives import FaultFailed
from harness.live.run_lock import own_directory, state_directory
from harness.runtime.messages import Codec, SocketChannel, message

CONTROL = "control"
"""The socket, in a run's directory."""


@message
class AddFault:
    """Apply a fault, written as in an experiment without `at`."""

    fault: str


@message
class RemoveFault:
    number: int


@message
class ListFaults:
    """Ask for the faults that are applied."""


class FaultStatus(BaseModel):
    """A fault, and what became of it.

    `state`: `applied`; `removed`; `done`, where it happens in an instant. `left_s`: seconds until it is removed; None
    where a person removes it. `error`: why it could not be removed; it is still applied then, at least in part.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int
    fault: str
    parameters: dict[str, Any]
    targets: tuple[str, ...]
    state: Literal["applied", "removed", "done"]
    left_s: float | None
    exposure: Exposure
    error: str | None = None


@message
class Answer:
    """The faults that the request was about."""

    faults: tuple[FaultStatus, ...]


@message
class Refusal:
    """What is wrong with the request, or with `usage` false what could not be done."""

    problems: tuple[str, ...]
    usage: bool = True


type Request = AddFault | RemoveFault | ListFaults

CODEC = Codec(AddFault, RemoveFault, ListFaults, Answer, Refusal)


ANSWER_S = 60.0


def ask(request: Request, *, run: str | None = None, state: Path | None = None) -> Answer:
    """The answer of the system that is up; with more than one, of that in `run` (`run-64`).

    Raises UsageError when there is no such system or the request is not valid, FaultFailed when a fault could not be
    applied or removed.
    """
    state = state_directory() if state is None else own_directory(state)
    sockets = {path.parent.name: path for path in sorted(state.glob(f"run-*/{CONTROL}")) if _listens(path)}
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(ANSWER_S)
        sock.connect(str(sockets[_choose(tuple(sockets), run)]))
        channel = SocketChannel(CODEC, sock)
        channel.send(request)
        answer: Answer | Refusal | None = channel.receive()
    if answer is None:
        raise UsageError(["the system ended before it answered"])
    if isinstance(answer, Refusal):
        raise UsageError(answer.problems) if answer.usage else FaultFailed("; ".join(answer.problems))
    return answer


def _choose(runs: tuple[str, ...], run: str | None) -> str:
    running = ", ".join(runs) or "none"
    if run is not None:
        if run not in runs:
            raise UsageError([f"--in {run}: no system is up there; up: {running}"])
        return run
    if not runs:
        raise UsageError(["no system is up; 'harness up SYSTEM' brings one up"])
    if len(runs) > 1:
        raise UsageError([f"more than one system is up; choose one with --in: {running}"])
    return runs[0]


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as sock:
        return sock.connect_ex(str(path)) == 0
