"""From the YAML of a person to frozen models, with every mistake at its place.

The models say what is allowed; here their complaints are turned into words of the file's own, at the line
and column of what they are about, with the nearest allowed word.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path as File
from typing import Any, cast

from pydantic import BaseModel, TypeAdapter, ValidationError

from harness.spec.diagnostics import Diagnostic, SpecError, did_you_mean
from harness.spec.model import (
    Arm,
    EventGate,
    Experiment,
    FaultSpec,
    Gate,
    Load,
    PercentileSlo,
    RatioSlo,
    RecoveredGate,
    Slo,
    SloGate,
)
from harness.spec.source import Path, Source, read_source, said

GATES: Mapping[str, type[BaseModel]] = {"slo": SloGate, "event": EventGate, "recovered": RecoveredGate}
"""The key that says which kind of gate it is."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What could be understood of an experiment file. What is wrong in itself is None, in its place.

    `experiment` is there only when nothing is wrong. `source` knows the place of everything:
    `source.mark(("gates", 0))`.
    """

    source: Source
    system: str | None
    load: Mapping[str, Load | None]
    timeline: tuple[FaultSpec | None, ...]
    gates: tuple[Gate | None, ...]
    arms: tuple[Arm | None, ...]
    experiment: Experiment | None
    problems: tuple[Diagnostic, ...]


def parse_draft(text: str, file: str, faults: Mapping[str, type[FaultSpec]]) -> Draft:
    """An experiment file with its mistakes. `faults` is the catalogue, name to model.

    Raises SpecError only where the text is not even YAML of the right shape.
    """
    source = read_source(text, file)
    found: dict[str, Any] = dict(source.value)
    problems: list[Diagnostic] = []
    built: dict[str, Any] = {}
    if "load" in found:
        built["load"] = _mapping(source, ("load",), found.pop("load"), Load, problems, "a load")
    for key, build in (
        ("timeline", lambda p, v: _fault(source, p, v, faults, problems)),
        ("gates", lambda p, v: _gate(source, p, v, problems)),
        ("arms", lambda p, v: _model(source, p, v, Arm, problems)),
    ):
        if key in found:
            built[key] = _list(source, (key,), found.pop(key), build, problems)
    # The parts have been looked at; what is left is the frame around them.
    frame = {**found, **{key: _STAND_IN[key] for key in built}}
    checked = _model(source, (), frame, Experiment, problems)
    experiment = None if problems or checked is None else checked.model_copy(update=built)
    system = found.get("system")
    return Draft(
        source=source,
        system=system if isinstance(system, str) else None,
        load=built.get("load", {}),
        timeline=built.get("timeline", ()),
        gates=built.get("gates", ()),
        arms=built.get("arms", ()),
        experiment=experiment,
        problems=tuple(problems),
    )


def parse_experiment(text: str, file: str, faults: Mapping[str, type[FaultSpec]]) -> Experiment:
    """An experiment file that is right in itself. Raises SpecError with all mistakes."""
    draft = parse_draft(text, file, faults)
    if draft.experiment is None:
        raise SpecError(draft.problems)
    return draft.experiment


_STAND_IN: Mapping[str, Any] = {"load": {}, "timeline": (), "gates": (), "arms": ()}


def parse_slos(text: str, file: str) -> tuple[dict[str, Slo], Source]:
    """A file of SLOs by name. Raises SpecError with all mistakes."""
    source = read_source(text, file)
    problems: list[Diagnostic] = []
    slos: dict[str, Slo] = {}
    for name, value in source.value.items():
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", name):
            problems.append(
                source.at(
                    (name,), f"found the name '{name}'", "names are lower-case words with dashes", key=True
                )
            )
        slo = _slo(source, (name,), value, problems)
        if slo is not None:
            slos[name] = slo
    if problems:
        raise SpecError(problems)
    return slos, source


def _slo(source: Source, path: Path, value: Any, problems: list[Diagnostic]) -> Slo | None:
    if not isinstance(value, dict):
        problems.append(source.at(path, f"found {said(value)}", "an SLO is a mapping"))
        return None
    is_percentile = "percentile" in value or "value" in value or "at_most" in value
    if is_percentile and not {"good", "bad"} & value.keys():
        return _model(source, path, value, PercentileSlo, problems)
    slo = _model(source, path, value, RatioSlo, problems)
    given = [key for key in ("good", "bad") if value.get(key) is not None]
    if len(given) != 1:
        found = (
            "both 'good' and 'bad'" if given else "neither 'good' nor 'bad' (nor 'value' and 'percentile')"
        )
        problems.append(source.at(path, f"found {found}", "a ratio says exactly one of them", key=True))
        return None
    return slo


def _fault(
    source: Source, path: Path, value: Any, faults: Mapping[str, type[FaultSpec]], problems: list[Diagnostic]
) -> FaultSpec | None:
    if not isinstance(value, dict):
        problems.append(
            source.at(
                path,
                f"found {said(value)}",
                "a fault is a mapping such as {at: 30s, for: 10s, fault: crash, target: {role: edge}}",
            )
        )
        return None
    name = value.get("fault")
    if "fault" not in value:
        problems.append(source.at(path, "this fault has no 'fault'", f"one of {', '.join(faults)}"))
        return None
    if not isinstance(name, str) or name not in faults:
        problems.append(
            source.at(
                (*path, "fault"),
                f"found the fault {said(name)}",
                f"allowed: {', '.join(faults)}",
                did_you_mean(str(name), faults),
            )
        )
        return None
    return _model(source, path, value, faults[name], problems)


def _gate(source: Source, path: Path, value: Any, problems: list[Diagnostic]) -> Gate | None:
    if isinstance(value, dict):
        kinds = [key for key in GATES if key in value]
        if len(kinds) == 1:
            return cast("Gate | None", _model(source, path, value, GATES[kinds[0]], problems))
        if len(kinds) > 1:
            problems.append(
                source.at(path, f"found {' and '.join(kinds)} in one gate", "write a gate for each")
            )
            return None
        near = next((hint for key in value if (hint := did_you_mean(key, GATES))), "")
        problems.append(
            source.at(
                path,
                "this gate says none of slo, event, recovered",
                "for example {slo: playback-success}",
                near,
            )
        )
        return None
    problems.append(
        source.at(path, f"found {said(value)}", "a gate is a mapping such as {slo: playback-success}")
    )
    return None


def _list(source: Source, path: Path, value: Any, build: Any, problems: list[Diagnostic]) -> tuple[Any, ...]:
    if not isinstance(value, list):
        problems.append(
            source.at(path, f"found {said(value)}", f"'{path[-1]}' is a list: lines that begin with '- '")
        )
        return ()
    return tuple(build((*path, index), item) for index, item in enumerate(value))


def _mapping(
    source: Source, path: Path, value: Any, model: type[BaseModel], problems: list[Diagnostic], what: str
) -> dict[str, Any]:
    if not isinstance(value, dict) or not value:
        problems.append(
            source.at(path, f"found {said(value)}", f"'{path[-1]}' maps a workload's name to {what}")
        )
        return {}
    return {name: _model(source, (*path, name), item, model, problems) for name, item in value.items()}


def _model[M: BaseModel](
    source: Source, path: Path, value: Any, model: type[M], problems: list[Diagnostic]
) -> M | None:
    if not isinstance(value, dict):
        problems.append(source.at(path, f"found {said(value)}", f"expected a mapping with {_fields(model)}"))
        return None
    try:
        return TypeAdapter(model).validate_python(value)
    except ValidationError as error:
        problems.extend(_complaints(source, path, value, model, error))
        return None


def _complaints(
    source: Source, path: Path, value: Any, model: type[BaseModel], error: ValidationError
) -> list[Diagnostic]:
    """One a place: of the complaints of a union's members the first; a misspelt key is not missing too."""
    items = [cast("dict[str, Any]", item) for item in error.errors(include_url=False)]
    strange = [str(item["loc"][-1]) for item in items if item["type"] == "extra_forbidden"]
    meant = {
        name
        for key in strange
        for name in _names(model)
        if did_you_mean(key, _names(model)) == f"did you mean '{name}'?"
    }
    found: dict[tuple[Path, bool], Diagnostic] = {}
    for item in items:
        missing = item["type"] == "missing"
        if missing and len(item["loc"]) == 1 and str(item["loc"][0]) in meant:
            continue
        place = (_place(value, item["loc"]), missing)
        found.setdefault(place, _translated(source, path, value, model, item))
    return list(found.values())


def _fields(model: type[BaseModel]) -> str:
    return ", ".join(_names(model))


def _names(model: type[BaseModel]) -> list[str]:
    return [item.alias or name for name, item in model.model_fields.items()]


def _translated(
    source: Source, path: Path, value: Any, model: type[BaseModel], error: dict[str, Any]
) -> Diagnostic:
    """A complaint of pydantic in the words of the file."""
    loc = _place(value, error["loc"])
    at: Path = (*path, *loc)
    kind, context = error["type"], error.get("ctx", {})
    last = str(error["loc"][-1]) if error["loc"] else ""
    if kind == "missing":
        owner = f"'{path[-1]}'" if path and isinstance(path[-1], str) else "this"
        where = at[:-1] if loc and loc[-1] == last else at
        return source.at(
            where, f"{owner if where == path else 'this'} has no '{last}'", _hint_of(model, last), key=True
        )
    if kind == "extra_forbidden":
        allowed = _allowed_at(model, error["loc"][:-1])
        return source.at(
            at,
            f"found the key '{last}'",
            f"allowed: {', '.join(allowed)}" if allowed else "it is not allowed here",
            did_you_mean(last, allowed),
            key=True,
        )
    found = said(error["input"])
    if kind == "literal_error":
        allowed = re.findall(r"'([^']*)'", str(context.get("expected", "")))
        return source.at(
            at, f"found {found}", f"allowed: {', '.join(allowed)}", did_you_mean(str(error["input"]), allowed)
        )
    if kind == "value_error":
        return _own_words(source, at, str(context.get("error", error["msg"])))
    if kind == "string_pattern_mismatch":
        return source.at(at, f"found {found}", f"it must look like {context.get('pattern')}")
    if kind.endswith(("_type", "_parsing")):
        return source.at(
            at,
            f"found {found}",
            f"expected {_TYPES.get(kind, error['msg'].removeprefix('Input should be '))}",
        )
    return source.at(
        at, f"found {found}", str(error["msg"]).removeprefix("Input ").removeprefix("Value error, ")
    )


_TYPES = {
    "string_type": "text (quote it)",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "bool_type": "true or false",
}


def _own_words(source: Source, at: Path, message: str) -> Diagnostic:
    """Errors of our own validators: 'what was found; what is allowed'."""
    found, _, allowed = message.partition("; ")
    return source.at(at, found, allowed)


def _place(value: Any, loc: tuple[Any, ...]) -> Path:
    """The part of pydantic's place that exists in the file (it adds names of union members)."""
    path: list[str | int] = []
    for index, step in enumerate(loc):
        if (isinstance(value, dict) and step in value) or (
            isinstance(value, list) and isinstance(step, int) and step < len(value)
        ):
            path.append(step)
            value = value[step]
        elif index == len(loc) - 1 and isinstance(value, dict):
            path.append(str(step))
    return tuple(path)


def _allowed_at(model: type[BaseModel], loc: tuple[Any, ...]) -> list[str]:
    current: Any = model
    for step in loc:
        fields = getattr(current, "model_fields", {})
        item = next((f for name, f in fields.items() if step in (name, f.alias)), None)
        if item is not None:
            current = _model_in(item.annotation) or current
    return _names(current) if isinstance(current, type) and issubclass(current, BaseModel) else []


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for part in getattr(annotation, "__args__", ()):
        if (found := _model_in(part)) is not None:
            return found
    return None


def _hint_of(model: type[BaseModel], name: str) -> str:
    examples = {
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
        "target_ratio": "target: 99.9%",
    }
    return f"add it, for example {examples[name]}" if name in examples else f"it needs {_fields(model)}"


def read_text(file: File, shown: str) -> str:
    """The text of a file. Raises SpecError when it cannot be read."""
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise SpecError(
            [Diagnostic(shown, 0, 0, "is not UTF-8 text", f"byte {error.start} is not")]
        ) from error
    except OSError as error:
        raise SpecError([Diagnostic(shown, 0, 0, f"cannot be read: {error.strerror}")]) from error
