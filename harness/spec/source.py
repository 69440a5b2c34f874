"""YAML text to plain values that remember where they stood.

PyYAML only composes the tree; values follow YAML 1.2's core schema (https://yaml.org/spec/1.2.2/, 10.3.2), so
`on`, `yes` and `12:30` are strings. Refused, each with its place: duplicate keys, keys that are not strings,
aliases and anchors (an experiment is small; a hidden copy is a trap), tags, several documents, and files of
a size that no person writes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from harness.spec.diagnostics import Diagnostic, SpecError

MAX_BYTES = 256 * 1024
MAX_NODES = 20_000
MAX_DEPTH = 32

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_NULL = re.compile(r"^(?:null|Null|NULL|~|)$")
_TRUE, _FALSE = re.compile(r"^(?:true|True|TRUE)$"), re.compile(r"^(?:false|False|FALSE)$")
_INT = re.compile(r"^[-+]?[0-9]+$")
_OCTAL, _HEX = re.compile(r"^0o[0-7]+$"), re.compile(r"^0x[0-9a-fA-F]+$")
_FLOAT = re.compile(r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$")
_INF, _NAN = re.compile(r"^[-+]?\.(?:inf|Inf|INF)$"), re.compile(r"^\.(?:nan|NaN|NAN)$")

type Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in the text; line and column count from 1."""

    line: int
    col: int


@dataclass(frozen=True, slots=True)
class Source:
    """`value`: dicts, lists and scalars. `marks`: where each value stands; `keys`: where its key does."""

    file: str
    value: Any
    marks: Mapping[Path, Mark]
    keys: Mapping[Path, Mark]

    def mark(self, path: Path, *, key: bool = False) -> Mark:
        """Where that is, or the nearest thing around it that is in the text."""
        while True:
            places = self.keys if key and path in self.keys else self.marks
            if path in places:
                return places[path]
            if not path:
                return Mark(1, 1)
            path = path[:-1]

    def at(
        self, path: Path, found: str, allowed: str = "", hint: str = "", *, key: bool = False
    ) -> Diagnostic:
        mark = self.mark(path, key=key)
        return Diagnostic(self.file, mark.line, mark.col, found, allowed, hint)


@dataclass(slots=True)
class _Walk:
    file: str
    marks: dict[Path, Mark] = field(default_factory=dict)
    keys: dict[Path, Mark] = field(default_factory=dict)
    problems: list[Diagnostic] = field(default_factory=list)
    seen: set[int] = field(default_factory=set)
    nodes: int = 0

    def problem(self, node: Any, found: str, allowed: str) -> None:
        mark = _mark(node.start_mark)
        self.problems.append(Diagnostic(self.file, mark.line, mark.col, found, allowed))

    def value(self, node: Any, path: Path) -> Any:
        self.marks[path] = _mark(node.start_mark)
        self.nodes += 1
        if id(node) in self.seen:
            self.problem(node, "found an alias", "write the value out; aliases are not allowed")
            return None
        self.seen.add(id(node))
        if self.nodes > MAX_NODES or len(path) > MAX_DEPTH:
            if self.nodes == MAX_NODES + 1 or len(path) == MAX_DEPTH + 1:
                self.problem(
                    node,
                    "the document is too large or too deeply nested",
                    f"at most {MAX_NODES} values, {MAX_DEPTH} levels",
                )
            return None
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        return self._scalar(node)

    def _mapping(self, node: Any, path: Path) -> dict[str, Any]:
        result: dict[str, Any] = {}
        places: dict[str, Mark] = {}
        for key_node, value_node in node.value:
            key = self._scalar(key_node) if isinstance(key_node, yaml.ScalarNode) else None
            if not isinstance(key, str):
                self.problem(key_node, "found a key that is not a word", "keys are words, such as load:")
                continue
            if key in places:
                first = places[key]
                self.problem(
                    key_node,
                    f"'{key}' is given twice",
                    f"it stands already in line {first.line}, column {first.col}; keep one",
                )
                continue
            places[key] = self.keys[(*path, key)] = _mark(key_node.start_mark)
            result[key] = self.value(value_node, (*path, key))
        return result

    def _scalar(self, node: Any) -> Any:
        text: str = node.value
        if node.style in ("'", '"', "|", ">"):
            return text
        return core_scalar(text)


def core_scalar(text: str) -> Any:
    """What a plain scalar means in YAML 1.2's core schema."""
    if _NULL.match(text):
        return None
    if _TRUE.match(text):
        return True
    if _FALSE.match(text):
        return False
    if _INT.match(text) and len(text) < 400:
        return int(text)
    if _OCTAL.match(text):
        return int(text[2:], 8)
    if _HEX.match(text):
        return int(text[2:], 16)
    if _FLOAT.match(text):
        return float(text)
    if _INF.match(text):
        return float(text.replace(".", "").lower())
    if _NAN.match(text):
        return float("nan")
    return text


def read_source(text: str, file: str) -> Source:
    """The one document of a text. Raises SpecError with all that is wrong with it as YAML."""
    if len(text.encode("utf-8", "replace")) > MAX_BYTES:
        raise SpecError([Diagnostic(file, 0, 0, "the file is too large", f"at most {MAX_BYTES // 1024} KiB")])
    try:
        _refuse_features(text, file)
        loader = _LOADER(text)
        try:
            node = loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise SpecError([_syntax(error, file)]) from error
    except RecursionError as error:
        raise SpecError(
            [Diagnostic(file, 0, 0, "the document is too deeply nested", f"at most {MAX_DEPTH} levels")]
        ) from error
    if node is None:
        raise SpecError([Diagnostic(file, 1, 1, "the file is empty", "it must hold one YAML mapping")])
    walk = _Walk(file)
    value = walk.value(node, ())
    if walk.problems:
        raise SpecError(walk.problems)
    if not isinstance(value, dict):
        mark = walk.marks[()]
        raise SpecError(
            [
                Diagnostic(
                    file,
                    mark.line,
                    mark.col,
                    f"found {said(value)}",
                    "it must be a mapping of words to values",
                )
            ]
        )
    return Source(file, value, walk.marks, walk.keys)


def _refuse_features(text: str, file: str) -> None:
    """Anchors, aliases and tags, before anything is built from them."""
    problems = []
    for depth_events, event in enumerate(_events(text)):
        if depth_events > MAX_NODES * 4:
            problems.append(
                Diagnostic(file, 0, 0, "the document is too large", f"at most {MAX_NODES} values")
            )
            break
        mark = _mark(event.start_mark)
        if isinstance(event, yaml.AliasEvent):
            problems.append(
                Diagnostic(file, mark.line, mark.col, "found an alias (*)", "write the value out")
            )
        elif getattr(event, "anchor", None):
            problems.append(
                Diagnostic(
                    file,
                    mark.line,
                    mark.col,
                    f"found an anchor (&{event.anchor})",
                    "write the value out where it is used",
                )
            )
        elif getattr(event, "tag", None):
            problems.append(
                Diagnostic(
                    file,
                    mark.line,
                    mark.col,
                    f"found a tag ({event.tag})",
                    "tags are not allowed; quote the value if it begins with !",
                )
            )
    if problems:
        raise SpecError(problems)


def _events(text: str) -> Iterator[Any]:
    return yaml.parse(text, Loader=_LOADER)


def _syntax(error: yaml.YAMLError, file: str) -> Diagnostic:
    mark = getattr(error, "problem_mark", None)
    found = str(getattr(error, "problem", None) or error).splitlines()[0]
    if "\\t" in found or "'\\t'" in found:
        found += " (a tab; indent with spaces)"
    if mark is None:
        return Diagnostic(file, 0, 0, f"not YAML: {found}", "see docs/experiments.md")
    place = _mark(mark)
    context = str(getattr(error, "context", None) or "")
    return Diagnostic(file, place.line, place.col, f"not YAML: {found}", context)


def _mark(mark: Any) -> Mark:
    return Mark(mark.line + 1, mark.column + 1)


def said(value: Any) -> str:
    """A value as its writer knows it."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    return f"'{value}'" if isinstance(value, str) else str(value)
