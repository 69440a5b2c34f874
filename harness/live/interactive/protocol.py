"""What is said over the control socket: one request and one answer, each one line of JSON."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from harness.faults.primitives import Exposure

CONTROL = "control"
"""The socket, in a run's directory."""


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AddFault(_Message):
    """Apply a fault, written as in an experiment without `at`."""

    action: Literal["add"] = "add"
    fault: str


class RemoveFault(_Message):
    action: Literal["remove"] = "remove"
    number: int


class ListFaults(_Message):
    action: Literal["list"] = "list"


class FaultStatus(_Message):
    """A fault, and what became of it.

    `state`: `applied`; `removed`; `done`, where it happens in an instant. `left_s`: seconds until it is removed; None
    where a person removes it. `error`: why it could not be removed; it is still applied then, at least in part.
    """

    number: int
    fault: str
    parameters: dict[str, Any]
    targets: tuple[str, ...]
    state: Literal["applied", "removed", "done"]
    left_s: float | None
    exposure: Exposure
    error: str | None = None


class Answer(_Message):
    """The faults that the request was about."""

    kind: Literal["answer"] = "answer"
    faults: tuple[FaultStatus, ...]


class Refusal(_Message):
    """What is wrong with the request, or with `usage` false what could not be done."""

    kind: Literal["refusal"] = "refusal"
    problems: tuple[str, ...]
    usage: bool = True


type Request = AddFault | RemoveFault | ListFaults

REQUEST: TypeAdapter[Request] = TypeAdapter(Annotated[Request, Field(discriminator="action")])
ANSWER: TypeAdapter[Answer | Refusal] = TypeAdapter(Annotated[Answer | Refusal, Field(discriminator="kind")])
