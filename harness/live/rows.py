"""Rows between processes: a system's own classes, which the protocols do not know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from operator import attrgetter
from typing import Annotated, Any

from pydantic import Field

from harness.runtime.messages import MessageError, message
from harness.system import Event, Row, System
from harness.system.processor import PROCESSORS, ProcessorSlice


@message
class TableRow:
    """A row of a table: the values of its fields, in order."""

    table: str
    values: list[Any]


@message
class EventRow:
    event: str
    fields: Mapping[str, Any]


@message
class UndeclaredRow:
    """A row of a class that is not a table of the system: the name of the class is all that the journal reports."""

    class_name: str


type EncodedRow = Annotated[TableRow | EventRow | UndeclaredRow, Field(discriminator="kind")]


class RowCodec:
    """Translates the rows of a system to and from messages."""

    def __init__(self, system: System) -> None:
        self._classes = {**system.tables, PROCESSORS: ProcessorSlice}
        self._tables = {row: (name, _values_of(row)) for name, row in self._classes.items()}

    def encode(self, row: Row) -> TableRow | EventRow | UndeclaredRow:
        if isinstance(row, Event):
            return EventRow(row.name, row.fields)
        table = self._tables.get(type(row))
        if table is None:
            return UndeclaredRow(type(row).__qualname__)
        name, values = table
        return TableRow(name, values(row))

    def decode(self, row: TableRow | EventRow | UndeclaredRow) -> Row:
        """The row as it was emitted; for an undeclared one an object of a class with the same name.

        Raises MessageError for a row that does not fit the system.
        """
        match row:
            case EventRow(event, values):
                return Event(event, values)
            case TableRow(table, values):
                try:
                    return self._classes[table](*values)
                except (KeyError, TypeError, ValueError) as error:
                    raise MessageError(f"not a row of table {table}: {error!r}") from error
            case UndeclaredRow(class_name):
                return type(class_name, (), {})()


def _values_of(row: type) -> Any:
    """A function that lists the values of a row of this class."""
    names = [field.name for field in fields(row)]
    if len(names) == 1:
        return lambda row: [getattr(row, names[0])]
    getter = attrgetter(*names)
    return lambda row: list(getter(row))
