"""The ledger of a run: every resource is written down before it is made, so that any later process can undo it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from functools import reduce
from itertools import count
from operator import or_
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, Field, SerializeAsAny, TypeAdapter, ValidationError

from harness.live.resources import KINDS, Item, Resource, UndoFailed

_ANY_KIND: TypeAdapter[Resource] = TypeAdapter(
    Annotated[reduce(or_, KINDS), Field(discriminator="kind")]  # type: ignore[arg-type]
)


def _any_kind(value: Any) -> Any:
    return _ANY_KIND.validate_python(value)


class _Entry(BaseModel):
    """A line of the file. No resource: the one with that number is undone."""

    number: int
    resource: Annotated[SerializeAsAny[Resource], BeforeValidator(_any_kind)] | None = None


class Ledger:
    """The open ledger of a living run."""

    def __init__(self, file: Path) -> None:
        """Resources that are in the file already stay there."""
        self._numbers = count(max((entry.number for entry in _entries(file)), default=0) + 1)
        self._file = open(file, "a", encoding="utf-8")  # noqa: SIM115 (closed by __exit__)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, resource: Resource) -> int:
        """Write a resource down, before it is made. Returns its number."""
        number = next(self._numbers)
        self._write(_Entry(number=number, resource=resource))
        return number

    def remove(self, number: int) -> None:
        """The resource with this number is undone."""
        self._write(_Entry(number=number))

    def _write(self, entry: _Entry) -> None:
        self._file.write(entry.model_dump_json() + "\n")
        self._file.flush()


def read(file: Path) -> list[Resource]:
    """The resources of a ledger that are not undone; none if there is no such file."""
    resources: dict[int, Resource] = {}
    for entry in _entries(file):
        if entry.resource is None:
            resources.pop(entry.number, None)
        else:
            resources[entry.number] = entry.resource
    return list(resources.values())


def undo(resources: Iterable[Resource]) -> tuple[list[Item], list[tuple[Resource, str]]]:
    """Undo them in the order of `KINDS`. Returns what was undone, each thing once, and the resources that could not be
    undone, with the reason."""
    done: dict[
        Item, None
    ] = {}  # a process may belong to two resources: noted, and found by the mark of its run
    failed: list[tuple[Resource, str]] = []
    for resource in sorted(resources, key=lambda one: KINDS.index(type(one))):
        try:
            done.update(dict.fromkeys(resource.undo()))
        except (UndoFailed, OSError) as error:
            failed.append((resource, str(error)))
    return list(done), failed


def keep(file: Path, resources: Iterable[Resource]) -> None:
    """Reduce a ledger to these resources. Without any, the file is removed."""
    lines = [_Entry(number=n, resource=one).model_dump_json() for n, one in enumerate(resources, start=1)]
    if not lines:
        file.unlink(missing_ok=True)
        return
    written = file.with_suffix(".new")
    written.write_text("\n".join(lines) + "\n", encoding="utf-8")
    os.replace(written, file)


def _entries(file: Path) -> Iterator[_Entry]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        try:
            yield _Entry.model_validate_json(line)
        except ValidationError:
            continue  # the harness died while it wrote this line, before it made the resource
