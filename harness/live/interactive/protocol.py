"""The messages on the control socket: one request and one answer."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from harness.faults.exposure import Exposure
from harness.runtime.messages import Codec, message

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
