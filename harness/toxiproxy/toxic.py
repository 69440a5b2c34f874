"""A toxic of a proxy, read from requests and checked."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from harness.toxiproxy.decode import Object, each_field, fields
from harness.toxiproxy.errors import InvalidAttributes, bad_body, invalid_stream, invalid_toxic_type
from harness.toxiproxy.toxics.base import Behaviour
from harness.toxiproxy.toxics.catalogue import TOXICS

MAX_EXPIRY_S = 7 * 24 * 60 * 60.0


class Direction(StrEnum):
    UPSTREAM = "upstream"  # from the client to the upstream
    DOWNSTREAM = "downstream"  # back to the client


@dataclass(frozen=True)
class Draft:
    """A requested toxic: its stream and type are valid, `build` checks the rest."""

    name: str
    stream: str
    direction: Direction
    kind: type[Behaviour]
    toxicity: float
    expires_in_s: float | None
    value: Any
    """The whole object. Its attributes are read last: a duplicate name is reported first."""


@dataclass(eq=False)
class Toxic:
    """A toxic that exists. An update replaces `behaviour` and `toxicity` together, or neither."""

    name: str
    stream: str
    """The text that was sent, whatever its case."""
    direction: Direction
    behaviour: Behaviour
    toxicity: float
    number: int
    """Counts the toxics of the proxy: the same name added again is another toxic."""
    expiry: asyncio.TimerHandle | None = None

    def document(self, now_s: float) -> dict[str, Any]:
        """The API's object. `expires_in_s` is there only when the toxic will expire."""
        document: dict[str, Any] = {
            "attributes": self.behaviour.attributes(),
            "name": self.name,
            "type": self.behaviour.TYPE,
            "stream": self.stream,
            "toxicity": int(self.toxicity) if self.toxicity in {0, 1} else self.toxicity,
        }
        if self.expiry is not None:
            document["expires_in_s"] = round(max(0.0, self.expiry.when() - now_s), 3)
        return document

    def cancel_expiry(self) -> None:
        if self.expiry is not None:
            self.expiry.cancel()
            self.expiry = None


_NEW = {
    "name": "string",
    "type": "string",
    "stream": "string",
    "toxicity": "float",
    "attributes": "object",
    "expires_in_s": "float",
}
_CHANGE = {"toxicity": "float", "attributes": "any", "expires_in_s": "float"}


def read_draft(value: Any) -> Draft:
    """Read a new toxic. Raises ApiError 400: a wrong type, then the stream, then the type of the toxic."""
    given = fields(value, "ToxicWrapper", _NEW)
    stream = given.get("stream", Direction.DOWNSTREAM.value)
    if stream.lower() not in set(Direction):
        raise invalid_stream()
    kind = TOXICS.get(given.get("type", ""))
    if kind is None:
        raise invalid_toxic_type()
    return Draft(
        name=given.get("name") or f"{kind.TYPE}_{stream}",
        stream=stream,
        direction=Direction(stream.lower()),
        kind=kind,
        toxicity=given.get("toxicity", 1.0),
        expires_in_s=given.get("expires_in_s"),
        value=value,
    )


def build(draft: Draft, number: int) -> Toxic:
    """The toxic of a draft. Raises ApiError 400 naming everything that is out of range."""
    check_name(draft.name)
    attributes = _attributes(draft.value, draft.kind)
    behaviour = _checked(draft.kind(), attributes, draft.toxicity, draft.expires_in_s)
    return Toxic(draft.name, draft.stream, draft.direction, behaviour, draft.toxicity, number)


@dataclass(frozen=True)
class Change:
    """A valid update."""

    behaviour: Behaviour
    toxicity: float
    expires_in_s: float | None
    """None keeps the expiry, 0 removes it."""


def read_change(toxic: Toxic, value: Any) -> Change:
    """Read an update: what is not mentioned stays. Raises ApiError 400."""
    given = fields(value, "ToxicWrapper", _CHANGE)
    toxicity = given.get("toxicity", toxic.toxicity)
    expires_in_s = given.get("expires_in_s")
    attributes = _attributes(value, type(toxic.behaviour))
    return Change(_checked(toxic.behaviour, attributes, toxicity, expires_in_s), toxicity, expires_in_s)


def check_name(name: str) -> None:
    """Reject a name that no URL can address. Raises ApiError 400."""
    if "/" in name or name in {".", ".."}:
        raise bad_body(
            f"name {name!r} cannot be addressed in a URL: it must not contain '/' nor be '.' or '..'"
        )


def _attributes(value: Any, kind: type[Behaviour]) -> dict[str, int | str]:
    """The toxic's attributes, matched whatever their case; a second `attributes` object adds to the first."""
    kinds = kind.kinds()
    found: dict[str, int | str] = {}
    if isinstance(value, Object):
        for _, given in each_field(value, "ToxicWrapper", {"attributes": "any"}):
            found |= fields(given, f"{kind.__name__}Toxic", kinds)
    return found


def _checked(
    behaviour: Behaviour, attributes: Mapping[str, int | str], toxicity: float, expires_in_s: float | None
) -> Behaviour:
    problems = []
    if not 0 <= toxicity <= 1:
        problems.append(f"toxicity must be from 0 to 1, not {_format_number(toxicity)}")
    if expires_in_s is not None and not 0 <= expires_in_s <= MAX_EXPIRY_S:
        problems.append(
            f"expires_in_s must be from 0 (never) to {MAX_EXPIRY_S:.0f}, not {_format_number(expires_in_s)}"
        )
    try:
        behaviour = behaviour.changed(attributes)
    except InvalidAttributes as error:
        problems += error.problems
    if problems:
        raise bad_body("; ".join(problems))
    return behaviour


def _format_number(number: float) -> str:
    return (
        f"{number:g}"
        if isinstance(number, float) or abs(number) < 1 << 63
        else "a number of more than 64 bits"
    )
