"""Request bodies, read the way Go's `encoding/json` reads them, because clients rely on it.

Keys match whatever their case, unknown keys are ignored, `null` keeps the default, only the first JSON value
counts, a repeated key is applied again, whole numbers are never taken from `1.5` or `"5"`. Messages carry Go's
prefix (`json: cannot unmarshal ...`) with the types that this server wants.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from harness.toxiproxy.errors import bad_body

_SPACE = " \t\r\n"
_GO_TYPES = {"object": "toxics.NoopToxic"}  # what Go decodes a new toxic's attributes into first


@dataclass(frozen=True, slots=True)
class Object:
    """A JSON object with its keys in order, repeated ones included."""

    pairs: tuple[tuple[str, Any], ...]


class Number(float):
    """A number with a fraction or an exponent, which messages show as it was written."""

    text: str

    def __new__(cls, text: str) -> Self:
        number = super().__new__(cls, text)
        number.text = text
        return number


def decode(body: bytes) -> Any:
    """The first JSON value of the body: objects as `Object`, the rest as Python has it.

    Raises ApiError 400 with Go's words: `EOF` for an empty body, `unexpected EOF` for one cut short.
    """
    text = body.decode("utf-8", "replace").lstrip(_SPACE)
    if not text:
        raise bad_body("EOF")
    try:
        return _DECODER.raw_decode(text)[0]
    except json.JSONDecodeError as error:
        if error.pos >= len(text) or error.msg.startswith("Unterminated string"):
            raise bad_body("unexpected EOF") from None
        found = text[error.pos]
        raise bad_body(f"invalid character {found!r} at {error.pos}: {error.msg}") from None
    except RecursionError:
        raise bad_body("exceeded max depth") from None
    except ValueError as error:  # an integer of thousands of digits, a constant JSON does not have
        raise bad_body(str(error)) from None


def fields(value: Any, into: str, kinds: Mapping[str, str]) -> dict[str, Any]:
    """The known fields of a JSON object, checked against their kinds; those absent or null are left out.

    `kinds` maps a field to "string", "bool", "int", "float", "object" or "any"; `into` names the object in messages.
    Raises ApiError 400 for a value that is not an object and for a field of another kind.
    """
    return dict(each_field(value, into, kinds))


def each_field(value: Any, into: str, kinds: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    """Like `fields`, one after the other: a field given twice comes twice."""
    if value is None:
        return
    if not isinstance(value, Object):
        raise bad_body(f"json: cannot unmarshal {_kind(value)} into Go value of type {into}")
    for key, item in value.pairs:
        name = key.lower()
        if name not in kinds or item is None:
            continue
        wanted = kinds[name]
        if not _fits(item, wanted):
            found = f"number {getattr(item, 'text', item)}" if _kind(item) == "number" else _kind(item)
            wanted = _GO_TYPES.get(wanted, wanted)
            raise bad_body(
                f"json: cannot unmarshal {found} into Go struct field {into}.{name} of type {wanted}"
            )
        yield name, _clean(item) if isinstance(item, str) else item


def items(value: Any, into: str) -> list[Any]:
    """The items of a JSON array; none for null."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise bad_body(f"json: cannot unmarshal {_kind(value)} into Go value of type []{into}")
    return value


def _fits(item: Any, wanted: str) -> bool:
    match wanted:
        case "string":
            return isinstance(item, str)
        case "bool":
            return isinstance(item, bool)
        case "int":
            return isinstance(item, int) and not isinstance(item, bool)
        case "float":
            if isinstance(item, bool) or not isinstance(item, (int, float)):
                return False
            return not (isinstance(item, float) and math.isinf(item))  # 1e400, as in Go, is no float
        case "object":
            return isinstance(item, Object)
        case _:
            return True


def _kind(item: Any) -> str:
    match item:
        case Object():
            return "object"
        case list():
            return "array"
        case str():
            return "string"
        case bool():
            return "bool"
        case None:
            return "null"
        case _:
            return "number"


def _clean(text: str) -> str:
    """Half of a surrogate pair (`"\\ud800"`) cannot be sent back as UTF-8: Go puts U+FFFD for it."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"invalid character {name[0]!r} looking for beginning of value")


_DECODER = json.JSONDecoder(
    object_pairs_hook=lambda pairs: Object(tuple(pairs)),
    parse_constant=_refuse_constant,
    parse_float=Number,
    strict=True,
)
