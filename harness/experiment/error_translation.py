"""A model from what a person wrote, and pydantic's errors as diagnostics in the words of the file.

Each mistake gives one diagnostic: of the members of a union only the one that got furthest counts, and a
misspelt key is not reported as missing too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAliasType, cast, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from harness.diagnostics import Code, Diagnostic, Path
from harness.errors import InvalidValue
from harness.experiment.source import Source
from harness.text import did_you_mean, nearest, quote


def build_model[M: BaseModel](
    source: Source, path: Path, value: Any, model: type[M], owner: str = ""
) -> tuple[M | None, list[Diagnostic]]:
    """The model of the value at `path`, or None and every mistake in it.

    `owner`: what the value is called in messages, such as 'this gate'; empty for the file as a whole.
    """
    if not isinstance(value, dict):
        allowed = f"expected a mapping with {', '.join(keys_of(model))}"
        return None, [source.at(path, Code.WRONG_TYPE, f"found {quote(value)}", allowed)]
    built, errors = validate_model(value, model)
    problems = [source.locate(describe(error, model, owner), path) for error in errors]
    reported = {problem.path for problem in problems}
    for place in null_paths(value):
        if (*path, *place) not in reported:
            allowed = "give a value, or remove the key"
            problems.append(source.at((*path, *place), Code.EMPTY, f"found {quote(None)}", allowed))
    return built, problems


def null_paths(value: Any, path: Path = ()) -> Iterator[Path]:
    """Where a value has no value: null would mean any host, any row, or the default, and hides a mistake."""
    if value is None:
        yield path
    elif isinstance(value, dict | list):
        items: Iterable[tuple[str | int, Any]] = (
            value.items() if isinstance(value, dict) else enumerate(value)
        )
        for key, item in items:
            yield from null_paths(item, (*path, key))


def validate_model[M: BaseModel](value: dict[str, Any], model: type[M]) -> tuple[M | None, list[FieldError]]:
    """The model of a value, or None and its independent errors."""
    try:
        # As JSON, for its strictness: `yes` is no boolean, '5' no number, and yet a list is a tuple. Names
        # are those of the file, not those of the fields (`for`, never `for_`).
        return TypeAdapter(model).validate_json(
            json.dumps(value), strict=True, by_alias=True, by_name=False
        ), []
    except ValidationError as error:
        items = error.errors(include_url=False)
        return None, _independent(
            [_field_error(value, cast("dict[str, Any]", item)) for item in items], model
        )


def keys_of(model: type[BaseModel]) -> list[str]:
    """The keys of a model, as they are in a file."""
    return [item.alias or name for name, item in model.model_fields.items()]


@dataclass(frozen=True, slots=True)
class FieldError:
    """One error of pydantic.

    `path`: where in the value it is, without the names of union members. `key`: the key that is missing or
    unknown. `siblings`: the keys that are beside an unknown key. `problem`: what a validator raised.
    """

    kind: str
    path: Path
    key: str
    siblings: frozenset[str]
    input: Any
    context: Mapping[str, Any]
    message: str
    problem: Diagnostic | None

    @property
    def place(self) -> Path:
        """The path of the value that is wrong, or missing."""
        return (*self.path, self.key) if self.kind == "missing" else self.path

    @property
    def is_type_error(self) -> bool:
        return self.kind.endswith(("_type", "_parsing"))

    @property
    def is_check(self) -> bool:
        """Whether a validator raised it, such as one that compares two keys."""
        return self.kind == "value_error"


def _field_error(value: Any, error: Mapping[str, Any]) -> FieldError:
    kind: str = error["type"]
    location = list(error["loc"])
    key = str(location.pop()) if kind == "missing" else ""
    path: Path = ()
    siblings: frozenset[str] = frozenset()
    for step in location:
        # Steps that are not in the file are names of union members.
        if (isinstance(value, dict) and step in value) or (
            isinstance(value, list) and isinstance(step, int) and step < len(value)
        ):
            path = (*path, step)
            siblings = frozenset(value) if isinstance(value, dict) else frozenset()
            value = value[step]
    if kind == "extra_forbidden":
        key = str(path[-1] if path else location[-1])
    context = error.get("ctx", {})
    raised = context.get("error")
    problem = raised.diagnostic if isinstance(raised, InvalidValue) else None
    if problem is not None:
        path = (*path, *problem.path)
    return FieldError(
        kind, path, key, siblings, error["input"], context, str(raised or error["msg"]), problem
    )


def _independent(errors: Sequence[FieldError], model: type[BaseModel]) -> list[FieldError]:
    """The errors that do not follow from another one."""
    misspelt = {
        (error.path[:-1], meant_key(error.key, _free_keys(error, model)))
        for error in errors
        if error.kind == "extra_forbidden"
    }
    independent: dict[tuple[Path, str], FieldError] = {}
    for error in errors:
        if error.kind == "missing" and (error.path, error.key) in misspelt:
            continue
        if error.is_type_error and any(
            len(other.path) > len(error.path) and other.path[: len(error.path)] == error.path
            for other in errors
        ):
            continue  # another member of the union got further
        independent.setdefault((error.path, error.key), error)
    return list(independent.values())


def describe(error: FieldError, model: type[BaseModel], owner: str) -> Diagnostic:
    """The error as a diagnostic, with its path below the model."""

    def diagnostic(code: Code, found: str, allowed: str, hint: str = "", *, key: bool = False) -> Diagnostic:
        return Diagnostic(code, found, allowed, hint, error.path, key)

    found = f"found {quote(error.input)}"
    name = str(error.path[-1]) if error.path else ""
    field = _field_at(model, error.path)
    if error.problem is not None:
        problem = error.problem
        return diagnostic(problem.code, problem.found, problem.allowed, problem.hint, key=problem.about_key)
    if error.is_check:
        return diagnostic(Code.BAD_VALUE, error.message, "")
    if error.kind == "missing":
        subject = quote(name) if error.path else owner
        found = f"{subject} needs '{error.key}'" if subject else f"missing key '{error.key}'"
        allowed = _describe_key(_field_at(model, error.place), error.key)
        return diagnostic(Code.MISSING_KEY, found, allowed, key=True)
    if error.kind == "extra_forbidden":
        keys = _keys_at(model, error.path[:-1])
        allowed = f"allowed: {', '.join(keys)}" if keys else "no key is allowed here"
        # A synonym also where its key is given: the parser gives `for` to a fault that lacks it.
        meant = SYNONYMS.get(error.key) if SYNONYMS.get(error.key) in keys else None
        meant = meant or meant_key(error.key, _free_keys(error, model))
        hint = "" if meant is None else f"did you mean '{meant}'?"
        return diagnostic(Code.UNKNOWN_KEY, f"unknown key {quote(error.key)}", allowed, hint, key=True)
    if error.kind == "literal_error":
        words = [] if field is None else list(_literals(field.annotation))
        hint = did_you_mean(error.input, words) if isinstance(error.input, str) else ""
        return diagnostic(Code.BAD_VALUE, found, f"allowed: {', '.join(words)}", hint)
    is_number = isinstance(error.input, int | float) and not isinstance(error.input, bool)
    if error.kind == "string_type" and name in QUANTITIES and is_number:
        return describe_bare_number(str(error.input), error.path)
    if error.is_type_error or error.kind == "int_from_float":
        expected = _EXPECTED.get(name) or _TYPES.get(error.kind) or _requirement(error.message)
        return diagnostic(Code.WRONG_TYPE, found, f"expected {expected}")
    if error.kind == "too_short":
        return diagnostic(Code.EMPTY, found, f"expected {_EXPECTED.get(name, 'at least one')}")
    limits = [f"{sign} {error.context[key]}" for key, sign in _LIMITS.items() if key in error.context]
    if limits:
        return diagnostic(Code.OUT_OF_RANGE, found, f"must be {' and '.join(limits)}")
    return diagnostic(Code.BAD_VALUE, found, f"must be {_requirement(error.message)}")


def _requirement(message: str) -> str:
    """What pydantic requires, for types of users' own that have no words here."""
    return message.removeprefix("Input should be ")


_LIMITS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}

_EXPECTED = {
    "pick": "a number of nodes such as 2, or a share such as 25%",
    "from": "a role, or a mapping such as {role: edge, zone: isp-a}",
    "to": "a role, or a mapping such as {role: edge, zone: isp-a}",
    **dict.fromkeys(("role", "zone", "node", "group"), "a name, or a list of names"),
    "without": "a safeguard, or a list of them",
    "target": "a mapping such as {role: edge, pick: 1}, or the name of one of the targets",
    "link": "a mapping such as {from: edge, to: storage}",
    "tags": "a list such as [delivery, isp]",
}
"""What is expected for a key, where its type alone says too little."""

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

QUANTITIES = ("at_most",)
"""Keys whose value is text because its unit depends on something else."""


def describe_bare_number(text: str, path: Path = ()) -> Diagnostic:
    """Of a threshold without a unit."""
    allowed = "a duration, bit rate, size or share, such as 2s, 5Mbps, 64KB or 5%"
    hint = f"did you mean {text}{'ms' if float(text) >= 100 else 's'}?"
    return Diagnostic(Code.BAD_UNIT, f"{text} needs a unit", f"allowed: {allowed}", hint, path)


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


def _describe_key(field: FieldInfo | None, key: str) -> str:
    """The description of a missing key, with an example."""
    text = "add it" if field is None or not field.description else field.description.strip().rstrip(".")
    text = " ".join(text.split())
    text = text[:1].lower() + text[1:] if text[:3] != "SQL" else text
    example = _EXAMPLES.get(key)
    if key == "target" and (field is None or _model_in(field.annotation) is None):
        example = "target: 99%"  # of an SLO, not of a fault
    return text if example is None else f"{text}, for example {example}"


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
        return keys_of(model)
    field = _field_at(model, path)
    inner = None if field is None else _model_in(field.annotation)
    return [] if inner is None else keys_of(inner)


SYNONYMS = {
    "duration": "for",
    "length": "for",
    "lasts": "for",
    "start": "at",
    "begin": "at",
    "after": "at",
    "selector": "target",
    "latency": "delay",
    "probability": "rate",
    "percent": "rate",
    "threshold": "at_most",
    "max": "at_most",
    "objective": "target",
    "tag": "tags",
}
"""Keys of other tools, and the key here that says the same."""


def meant_key(key: str, allowed: Sequence[str]) -> str | None:
    """The allowed key that an unknown one most likely stands for, or None."""
    synonym = SYNONYMS.get(key.lower())
    return synonym if synonym in allowed else nearest(key, allowed)


def _free_keys(error: FieldError, model: type[BaseModel]) -> list[str]:
    """The keys that an unknown key may stand for: those allowed there and not given."""
    return [key for key in _keys_at(model, error.path[:-1]) if key not in error.siblings]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The first model in an annotation such as `Selector | str`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part)) is not None), None)


def _literals(annotation: Any) -> Iterator[str]:
    """The words of the `Literal` in an annotation."""
    if isinstance(annotation, TypeAliasType):
        annotation = annotation.__value__
    if get_origin(annotation) is Literal:
        yield from map(str, get_args(annotation))
    else:
        for part in get_args(annotation):
            yield from _literals(part)
