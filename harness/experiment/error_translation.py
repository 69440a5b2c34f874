"""A model from what a person wrote, and its complaints in the words of the file, each at its place.

Pydantic says what does not fit and where; here that becomes `found; allowed; did you mean`, one for a mistake:
of the members of a union only the one that came furthest is heard, and a misspelt key is not missing too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from harness.diagnostics import Code, Diagnostic, Path
from harness.experiment.source import Source
from harness.text import did_you_mean, nearest, quote


def build[M: BaseModel](
    source: Source, path: Path, value: Any, model: type[M], what: str = ""
) -> tuple[M | None, list[Diagnostic]]:
    """The model of `value`, which stands at `path`; or None and everything that is wrong with it.

    `what` it is for its writer: 'this gate'; nothing for the file as a whole.
    """
    if not isinstance(value, dict):
        allowed = f"expected a mapping with {', '.join(field_names(model))}"
        return None, [source.at(path, Code.WRONG_TYPE, f"found {quote(value)}", allowed)]
    built, complaints = checked(value, model)
    return built, [told(source, path, complaint, model, what) for complaint in complaints]


def checked[M: BaseModel](value: dict[str, Any], model: type[M]) -> tuple[M | None, list[Complaint]]:
    """The model of a value, or None and each of its mistakes."""
    try:
        # As JSON, for its strictness: `yes` is no boolean, '5' no number, and yet a list is a tuple. Names
        # are those of the file, not those of the fields (`for`, never `for_`).
        return TypeAdapter(model).validate_json(
            json.dumps(value), strict=True, by_alias=True, by_name=False
        ), []
    except ValidationError as error:
        found = [Complaint(value, cast("dict[str, Any]", item)) for item in error.errors(include_url=False)]
        return None, _own(found, model)


def told(source: Source, path: Path, complaint: Complaint, model: type[BaseModel], what: str) -> Diagnostic:
    """A mistake of the model that stands at `path`, in words and at its place."""
    words = _words(complaint, model, what)
    return source.at((*path, *complaint.path), complaint.code, *words, key=complaint.about_key)


def field_names(model: type[BaseModel]) -> list[str]:
    """The keys of a model, as the file has them."""
    return [item.alias or name for name, item in model.model_fields.items()]


class Complaint:
    """One complaint of pydantic. `path`: the part of its place that is in the file, below the model."""

    def __init__(self, value: Any, error: Mapping[str, Any]) -> None:
        self.kind: str = error["type"]
        self.input: Any = error["input"]
        self.context: Mapping[str, Any] = error.get("ctx", {})
        self.message: str = error["msg"]
        self.path: Path = ()
        self.key = ""
        """The key that is missing, or too much."""
        self.beside: frozenset[str] = frozenset()
        """What else stands beside a key that is too much."""
        loc = error["loc"]
        if self.kind == "missing":
            *loc, self.key = loc
        for step in loc:
            # Steps that are not in the file are names of union members.
            if (isinstance(value, dict) and step in value) or (
                isinstance(value, list) and isinstance(step, int) and step < len(value)
            ):
                self.path = (*self.path, step)
                around, value = value, value[step]
                self.beside = frozenset(around) if isinstance(around, dict) else frozenset()
        if self.kind == "extra_forbidden":
            self.key = str(self.path[-1]) if self.path else str(loc[-1])
        if self.kind == "value_error":
            # A model's own check names the key that it is about.
            named = re.findall(r"'(\w+)'", self.own_words)
            key = next((name for name in named if isinstance(value, dict) and name in value), None)
            self.path = self.path if key is None else (*self.path, key)

    @property
    def own_words(self) -> str:
        return str(self.context.get("error", self.message))

    @property
    def code(self) -> Code:
        if self.kind == "missing":
            return Code.MISSING_KEY
        if self.kind == "extra_forbidden":
            return Code.UNKNOWN_KEY
        if self.kind in ("greater_than", "greater_than_equal", "less_than", "less_than_equal"):
            return Code.OUT_OF_RANGE
        return Code.WRONG_TYPE if self.about_type else Code.BAD_VALUE

    @property
    def about_key(self) -> bool:
        return self.kind in ("missing", "extra_forbidden")

    @property
    def about_type(self) -> bool:
        return self.kind.endswith(("_type", "_parsing"))


def _own(errors: Sequence[Complaint], model: type[BaseModel]) -> list[Complaint]:
    """Those that are mistakes of their own."""
    meant = {
        (error.path[:-1], nearest(error.key, _free_keys(error, model)))
        for error in errors
        if error.kind == "extra_forbidden"
    }
    own: dict[tuple[Path, str], Complaint] = {}
    for error in errors:
        if error.kind == "missing" and (error.path, error.key) in meant:
            continue
        if error.about_type and any(
            len(other.path) > len(error.path) and other.path[: len(error.path)] == error.path
            for other in errors
        ):
            continue
        own.setdefault((error.path, error.key), error)
    return list(own.values())


def _words(error: Complaint, model: type[BaseModel], what: str) -> tuple[str, str, str]:
    """What was found, what is allowed, what may be meant."""
    found = f"found {quote(error.input)}"
    name = str(error.path[-1]) if error.path else ""
    if error.kind == "missing":
        owner = quote(name) if error.path else what
        return (
            f"{owner} has no '{error.key}'" if owner else f"there is no '{error.key}'",
            _what_it_is(_field_at(model, (*error.path, error.key)), error.key),
            "",
        )
    if error.kind == "extra_forbidden":
        allowed = _keys_at(model, error.path[:-1])
        return (
            f"found the key {quote(error.key)}",
            f"allowed: {', '.join(allowed)}" if allowed else "it is not allowed here",
            did_you_mean(error.key, _free_keys(error, model)),
        )
    if error.kind == "literal_error":
        allowed = re.findall(r"'([^']*)'", str(error.context.get("expected", "")))
        hint = did_you_mean(error.input, allowed) if isinstance(error.input, str) else ""
        return found, f"allowed: {', '.join(allowed)}", hint
    if error.kind == "value_error":
        first, _, rest = error.own_words.partition("; ")
        allowed_text, _, hint = rest.partition("; ")
        return first, allowed_text, hint
    if error.kind == "string_pattern_mismatch":
        return _pattern(error, name, found)
    if error.about_type:
        return found, f"expected {_EXPECTED.get(name) or _TYPES.get(error.kind, error.message)}", ""
    if error.kind == "too_short":
        return found, f"expected {_EXPECTED.get(name, 'at least one')}", ""
    words = error.message.removeprefix("Input should be ").removeprefix("Value error, ")
    return found, f"it must be {words}" if words != error.message else words, ""


def _pattern(error: Complaint, name: str, found: str) -> tuple[str, str, str]:
    text = str(error.input)
    if name == "experiment":
        slug = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
        return found, "a name is small letters, digits and dashes", f"did you mean '{slug}'?" if slug else ""
    if name == "route":
        return found, "a route begins with / or *", f"did you mean '/{text}'?"
    return found, f"it must fit the pattern {error.context.get('pattern')}", ""


_EXPECTED = {
    "pick": "a number of nodes such as 2, or a share such as 25%",
    "from": "a role, or a mapping such as {role: edge, zone: isp-a}",
    "to": "a role, or a mapping such as {role: edge, zone: isp-a}",
    "without": "a safeguard, or a list of them",
    "target": "a mapping such as {role: edge, pick: 1}",
    "link": "a mapping such as {from: edge, to: storage}",
    "tags": "a list such as [delivery, isp]",
}
"""What a key takes, where its type alone would say too little."""

_TYPES = {
    "string_type": "text (quote it)",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "bool_type": "true or false",
}

_EXAMPLES = {
    "at": "at: 30s",
    "for": "for: 30s",
    "target": "target: {role: edge, pick: 1}",
    "arrive": "arrive: 4/s",
    "mix": "mix: home",
    "load": "load: {viewers: {arrive: 4/s, for: 2m, mix: home}}",
    "gates": "gates: [{slo: playback-success}]",
    "within": "within: 5s",
    "experiment": "experiment: my-first-experiment",
    "title": "title: Losing one appliance never interrupts playback",
    "system": "system: streaming",
    "slo": "slo: playback-success",
    "without": "without: player.failover",
    "from": "from: edge",
    "to": "to: storage",
    "table": "table: sessions",
    "percentile": "percentile: 95",
    "at_most": "at_most: 2s",
}


def _what_it_is(field: FieldInfo | None, key: str) -> str:
    """The description of a missing key, and an example."""
    told = "add it" if field is None or not field.description else field.description.strip().rstrip(".")
    told = " ".join(told.split())
    told = told[:1].lower() + told[1:] if told[:3] != "SQL" else told
    return f"{told}, for example {_EXAMPLES[key]}" if key in _EXAMPLES else told


def _field_at(model: type[BaseModel], path: Path) -> FieldInfo | None:
    """The field that a path leads to, through models, their unions and lists."""
    current: type[BaseModel] | None = model
    field = None
    for step in path:
        if current is None or isinstance(step, int):
            continue
        fields = current.model_fields.items()
        field = next((item for name, item in fields if step == (item.alias or name)), None)
        current = None if field is None else _model_in(field.annotation)
    return field


def _keys_at(model: type[BaseModel], path: Path) -> list[str]:
    """The keys that are allowed there."""
    if not path:
        return field_names(model)
    field = _field_at(model, path)
    inner = None if field is None else _model_in(field.annotation)
    return [] if inner is None else field_names(inner)


def _free_keys(error: Complaint, model: type[BaseModel]) -> list[str]:
    """What a key that is too much may have meant: a key that is allowed there and not given."""
    return [key for key in _keys_at(model, error.path[:-1]) if key not in error.beside]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for part in getattr(annotation, "__args__", ()):
        if (found := _model_in(part)) is not None:
            return found
    return None
