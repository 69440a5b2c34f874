"""YAML text to plain values that remember their position.

PyYAML composes the tree; values follow YAML 1.2's core schema (https://yaml.org/spec/1.2.2/, 10.3.2), so `on`,
`yes`, `1_000` and `12:30` are strings. Refused, each with its position: duplicate keys, keys that are not text,
anchors and aliases (an experiment is small; a hidden copy is a trap), tags, several documents, and files of a
size or depth that no person writes (checked before anything is built from them).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import yaml

from harness.diagnostics import Code, Diagnostic, Path
from harness.errors import ExperimentError
from harness.text import quote

_NULL = re.compile(r"null|Null|NULL|~|")
_TRUE, _FALSE = re.compile(r"true|True|TRUE"), re.compile(r"false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]+")
_OCTAL, _HEX = re.compile(r"0o[0-7]+"), re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_INF, _NAN = re.compile(r"[-+]?\.(?:inf|Inf|INF)"), re.compile(r"\.(?:nan|NaN|NAN)")
_MAX_INT_DIGITS = 100
"""Longer integers are read as floats: Python refuses to convert very long ones to text."""


def core_scalar(text: str) -> str | int | float | bool | None:
    """The value of a plain scalar."""
    if _NULL.fullmatch(text):
        return None
    if _TRUE.fullmatch(text):
        return True
    if _FALSE.fullmatch(text):
        return False
    if _INT.fullmatch(text) and len(text) <= _MAX_INT_DIGITS:
        return int(text)
    if _OCTAL.fullmatch(text):
        return int(text[2:], 8) if len(text) <= _MAX_INT_DIGITS else text
    if _HEX.fullmatch(text):
        return int(text[2:], 16) if len(text) <= _MAX_INT_DIGITS else text
    if _FLOAT.fullmatch(text):
        return float(text)
    if _INF.fullmatch(text):
        return float(text.replace(".", "").lower())
    if _NAN.fullmatch(text):
        return float("nan")
    return text


MAX_BYTES = 256 * 1024
MAX_VALUES = 20_000
MAX_DEPTH = 32

LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_NOT_YAML = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that YAML does not allow (5.1), lone surrogates among them."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A position in the text; line and column count from 1."""

    line: int
    col: int


@dataclass(frozen=True, slots=True)
class Source:
    """`value`: dicts, lists and scalars. `marks`: the position of each value; `keys`: that of its key.

    `problems`: mistakes in YAML that can still be read, such as a duplicate key.
    """

    file: str
    text: str
    value: Mapping[str, Any]
    marks: Mapping[Path, Mark]
    keys: Mapping[Path, Mark]
    problems: tuple[Diagnostic, ...] = ()

    def mark(self, path: Path, *, key: bool = False) -> Mark:
        """The position of the value (with `key`: of its key), or of the nearest value around it in the text."""
        while True:
            places = self.keys if key and path in self.keys else self.marks
            if path in places:
                return places[path]
            if not path:
                return Mark(1, 1)
            path = path[:-1]

    def at(
        self, path: Path, code: Code, found: str, allowed: str = "", hint: str = "", *, key: bool = False
    ) -> Diagnostic:
        """A diagnostic about the value at `path`, or with `key` about its key."""
        return self.locate(Diagnostic(code, found, allowed, hint, path, key))

    def locate(self, diagnostic: Diagnostic, below: Path = ()) -> Diagnostic:
        """The diagnostic with its position. `below`: where in the file the value is that its path begins at."""
        path = (*below, *diagnostic.path)
        mark = self.mark(path, key=diagnostic.about_key)
        return replace(diagnostic, path=path, file=self.file, line=mark.line, col=mark.col)


def read_source(text: str, file: str) -> Source:
    """The one document of a text, a mapping. Raises ExperimentError for a text that is not one."""
    if len(text) > MAX_BYTES or len(text.encode("utf-8", "replace")) > MAX_BYTES:
        raise ExperimentError(
            [
                Diagnostic(
                    Code.UNREADABLE, "the file is too large", f"at most {MAX_BYTES // 1024} KiB", file=file
                )
            ]
        )
    if strange := _NOT_YAML.search(text):
        mark = _position(text, strange.start())
        found = f"found the character U+{ord(strange[0]):04X}"
        raise ExperimentError([_problem(file, mark, found, "YAML does not allow it; remove it")])
    try:
        problems = _survey(text, file)
        node = yaml.compose(text, Loader=LOADER)
    except yaml.YAMLError as error:
        raise ExperimentError([_syntax(error, text, file)]) from error
    if node is None:
        raise ExperimentError(
            [_problem(file, Mark(1, 1), "the file is empty", "expected one YAML mapping", code=Code.EMPTY)]
        )
    walk = _Walk(file, problems)
    value = walk.value(node, ())
    if not isinstance(value, dict):
        mark = walk.marks[()]
        walk.problems.append(
            _problem(
                file,
                mark,
                f"found {quote(value)}",
                "the file must be a mapping: lines of key: value",
                code=Code.WRONG_TYPE,
            )
        )
        raise ExperimentError(walk.problems)
    return Source(file, text, value, walk.marks, walk.keys, tuple(walk.problems))


def _survey(text: str, file: str) -> list[Diagnostic]:
    """Reports anchors, aliases and tags. Raises ExperimentError for a document that is too large or too deep."""
    problems: list[Diagnostic] = []
    depth = values = documents = 0
    for event in yaml.parse(text, Loader=LOADER):
        mark = _mark(event.start_mark)

        def report(found: str, allowed: str, mark: Mark = mark) -> None:
            problems.append(_problem(file, mark, found, allowed))

        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                report("found a second document (---)", "a file holds one document; split the file")
                raise ExperimentError(problems)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.NodeEvent):
            values += 1
            depth += isinstance(event, yaml.CollectionStartEvent)
            if values > 2 * MAX_VALUES or depth > MAX_DEPTH:
                report(
                    "the document is too large or too deep",
                    f"at most {MAX_VALUES} values, {MAX_DEPTH} levels",
                )
                raise ExperimentError(problems)
            if isinstance(event, yaml.AliasEvent):
                report(f"found an alias (*{event.anchor})", "write the value out")
            elif event.anchor is not None:
                report(f"found an anchor (&{event.anchor})", "write the value out where it is used")
            tag = getattr(event, "tag", None)
            if tag is not None:
                report(f"found a tag ({tag})", "tags are not allowed; quote a value that begins with !")
    return problems


@dataclass(slots=True)
class _Walk:
    """Nodes to values. An aliased value counts as often as it is repeated."""

    file: str
    problems: list[Diagnostic]
    marks: dict[Path, Mark] = field(default_factory=dict)
    keys: dict[Path, Mark] = field(default_factory=dict)
    values: int = 0

    def value(self, node: Any, path: Path) -> Any:
        self.marks[path] = _mark(node.start_mark)
        self.values += 1
        if self.values > MAX_VALUES or len(path) > MAX_DEPTH:
            self._add(
                node,
                "the document is too large or too deep",
                f"at most {MAX_VALUES} values, {MAX_DEPTH} levels",
            )
            raise ExperimentError(self.problems)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        return _scalar(node)

    def _mapping(self, node: Any, path: Path) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = _scalar(key_node) if isinstance(key_node, yaml.ScalarNode) else [None]
            if not isinstance(key, str):
                found = quote({}) if isinstance(key_node, yaml.MappingNode) else quote(key)
                self._add(key_node, f"found {found} as a key", "keys are text, such as load:")
                continue
            if key in result:
                first = self.keys[(*path, key)]
                self._add(
                    key_node,
                    f"duplicate key {quote(key)} (first on line {first.line})",
                    "keep one",
                    Code.DUPLICATE,
                )
                continue
            self.keys[(*path, key)] = _mark(key_node.start_mark)
            result[key] = self.value(value_node, (*path, key))
        return result

    def _add(self, node: Any, found: str, allowed: str, code: Code = Code.SYNTAX) -> None:
        self.problems.append(_problem(self.file, _mark(node.start_mark), found, allowed, code=code))


def _scalar(node: Any) -> Any:
    text: str = node.value
    return text if node.style in ("'", '"', "|", ">") else core_scalar(text)


def _syntax(error: yaml.YAMLError, text: str, file: str) -> Diagnostic:
    """An error of the YAML parser, reworded where its own message misleads."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    found = str(getattr(error, "problem", None) or error).splitlines()[0]
    if mark is None:
        return Diagnostic(Code.SYNTAX, f"not YAML: {found}", file=file)
    place = _mark(mark)
    lines = text.splitlines()
    rest = lines[place.line - 1][place.col - 1 :] if place.line <= len(lines) else ""
    if rest.startswith("\t"):
        return _problem(file, place, "found a tab", "YAML is indented with spaces")
    if "cannot start any token" in found:
        return _problem(file, place, f"found '{rest[:1]}' at the start of a value", "quote the value")
    if "mapping values are not allowed" in found:
        return _problem(
            file,
            place,
            "found ': ' inside a value",
            "quote the value, or begin a new line for a new key, with the indentation of its neighbours",
        )
    if place.line <= len(lines) and "${" in lines[place.line - 1]:
        return _problem(file, place, "found a variable that is not quoted", 'write "${name}", in quotes')
    context = str(getattr(error, "context", None) or "")
    start = getattr(error, "context_mark", None)
    if context and start is not None:
        context += f" that begins on line {start.line + 1}"
    return _problem(file, place, f"not YAML: {found}", context)


def _problem(file: str, mark: Mark, found: str, allowed: str = "", *, code: Code = Code.SYNTAX) -> Diagnostic:
    return Diagnostic(code, found, allowed, file=file, line=mark.line, col=mark.col)


def _mark(mark: Any) -> Mark:
    return Mark(mark.line + 1, mark.column + 1)


def _position(text: str, offset: int) -> Mark:
    before = text[:offset].replace("\r\n", "\n").replace("\r", "\n")
    return Mark(before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)
