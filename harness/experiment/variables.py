"""Variables of an experiment: `vars` declares them, `${name}` uses them in values, `--var name=value` sets them.

They are resolved before anything else looks at the file. The resolved text, without `vars`, is what a run keeps.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import yaml

from harness.diagnostics import Code, Path, unknown_name
from harness.errors import UsageError
from harness.experiment.source import LOADER, Source, core_scalar
from harness.text import escape_controls, quote

VARS = "vars"
NAME = re.compile(r"[a-z][a-z0-9_]*")
_USE = re.compile(r"\$(\$?)\{([^{}]*)\}")

type Scalar = str | int | float | bool


def resolve_variables(
    source: Source, given: Mapping[str, str], environment: Mapping[str, str]
) -> tuple[Source, dict[str, Scalar]]:
    """The source with its variables resolved, every mistake among its problems, and the value of each variable.

    `given`: values that go before those of the file. `environment`: read only for variables that declare `env`.
    """
    if VARS not in source.value and "${" not in source.text:
        return source, {}
    resolution = _Resolution(source, given, environment)
    resolution.declare(source.value.get(VARS, {}))
    value = {key: resolution.value((key,), item) for key, item in source.value.items() if key != VARS}
    resolution.report_unused()
    text = source.text if resolution.problems else _resolved_text(source.text, resolution.replaced)
    resolved = replace(source, value=value, text=text, problems=(*source.problems, *resolution.problems))
    return resolved, resolution.values


def parse_assignments(option: str, texts: Iterable[str]) -> dict[str, str]:
    """NAME=VALUE as it is given on a command line. Raises UsageError."""
    if wrong := [text for text in texts if not text.partition("=")[1]]:
        raise UsageError(f"{option} {text}: give NAME=VALUE" for text in wrong)
    return {name: value for name, _, value in (text.partition("=") for text in texts)}


@dataclass(slots=True)
class _Resolution:
    source: Source
    given: Mapping[str, str]
    environment: Mapping[str, str]
    problems: list[Any] = field(default_factory=list)
    values: dict[str, Scalar] = field(default_factory=dict)
    declared: dict[str, Path] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    replaced: dict[Path, Scalar] = field(default_factory=dict)

    def add(self, path: Path, code: Code, found: str, allowed: str = "", *, key: bool = False) -> None:
        self.problems.append(self.source.at(path, code, found, allowed, key=key))

    def declare(self, declarations: Any) -> None:
        if not isinstance(declarations, dict):
            allowed = "expected variables, for example {rate: 4/s, span: {env: SPAN, default: 60s}}"
            self.add((VARS,), Code.WRONG_TYPE, f"found {quote(declarations)}", allowed)
            return
        for name, stated in declarations.items():
            path: Path = (VARS, name)
            self.declared[name] = path
            if not NAME.fullmatch(name):
                allowed = "a variable has lower-case letters, digits and _"
                self.add(path, Code.BAD_VALUE, f"found the name {quote(name)}", allowed, key=True)
            if (value := self._value_of(name, path, stated)) is not None:
                self.values[name] = value

    def _value_of(self, name: str, path: Path, stated: Any) -> Scalar | None:
        default, variable = stated, None
        if isinstance(stated, dict):
            for key in stated.keys() - {"env", "default"}:
                self.add(
                    (*path, key),
                    Code.UNKNOWN_KEY,
                    f"unknown key {quote(key)}",
                    "allowed: env, default",
                    key=True,
                )
            default, variable = stated.get("default"), stated.get("env")
            if variable is not None and not isinstance(variable, str):
                allowed = "expected the name of an environment variable"
                self.add((*path, "env"), Code.WRONG_TYPE, f"found {quote(variable)}", allowed)
                variable = None
        if default is not None and not isinstance(default, str | int | float | bool):
            self.add(
                path,
                Code.WRONG_TYPE,
                f"found {quote(default)}",
                "a variable is text, a number, true or false",
            )
            return None
        text = self.given.get(name, None if variable is None else self.environment.get(variable))
        value = default if text is None else core_scalar(text)
        if value is None:
            allowed = f"give --var {name}=VALUE, or a default" + (f", or set {variable}" if variable else "")
            self.add(path, Code.EMPTY, f"the variable '{name}' has no value", allowed, key=True)
        elif isinstance(value, str) and escape_controls(value) != value:
            self.add(
                path, Code.BAD_VALUE, f"the variable '{name}' has control characters", "write plain text"
            )
            return None
        return value

    def value(self, path: Path, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self.value((*path, key), item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.value((*path, index), item) for index, item in enumerate(value)]
        if not isinstance(value, str) or not _USE.search(value):
            return value
        names = [name for escaped, name in _USE.findall(value) if not escaped]
        for name in names:
            if name not in self.declared:
                unknown = unknown_name("variable", name, self.declared)
                self.problems.append(self.source.locate(unknown, path))
        self.used.update(names)
        whole = _USE.fullmatch(value)
        resolved: Scalar
        if whole is not None and not whole[1]:
            resolved = self.values.get(whole[2], value)
        else:
            resolved = _USE.sub(self._text, value)
        self.replaced[path] = resolved
        return resolved

    def _text(self, use: re.Match[str]) -> str:
        if use[1]:
            return use[0][1:]
        value = self.values.get(use[2], use[0])
        return str(value).lower() if isinstance(value, bool) else str(value)

    def report_unused(self) -> None:
        for name, path in self.declared.items():
            if name not in self.used:
                found = f"the variable '{name}' is used nowhere"
                self.add(path, Code.UNUSED, found, f"use it as '${{{name}}}', or remove it", key=True)


def _resolved_text(text: str, replaced: Mapping[Path, Scalar]) -> str:
    """The text with the values in place of the variables and without `vars`; every line keeps its number."""
    edits: list[tuple[int, int, str]] = []
    for path, key, node in _nodes(yaml.compose(text, Loader=LOADER), ()):
        start, end = node.start_mark.index, node.end_mark.index
        if path == (VARS,):
            start = key.start_mark.index
            edits.append((start, end, "\n" * text.count("\n", start, end)))
        elif path in replaced:
            lines = text.count("\n", start, end)
            edits.append((start, end, _written(replaced[path]) + "\n" * lines))
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    return text


def _written(value: Scalar) -> str:
    return json.dumps(value.replace("${", "$${") if isinstance(value, str) else value)


def _nodes(node: Any, path: Path) -> Iterator[tuple[Path, Any, Any]]:
    """Every value with its path and the node of its key."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield (*path, key.value), key, value
            if path or key.value != VARS:
                yield from _nodes(value, (*path, key.value))
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield (*path, index), None, item
            yield from _nodes(item, (*path, index))
