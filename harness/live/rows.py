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


type EncodedRow = Annotated[TableRow | EventRow, Field(discriminator="kind")]


class RowCodec:
    """Translates the rows of a system to and from messages."""

    def __init__(self, system: System) -> None:
        self._classes = {**system.tables, PROCESSORS: ProcessorSlice}
        self._tables = {row: (name, _values_of(row)) for name, row in self._classes.items()}

    def encode(self, row: Row) -> TableRow | EventRow:
        if isinstance(row, Event):
            return EventRow(row.name, row.fields)
        name, values = self._tables[type(row)]
        return TableRow(name, values(row))

    def decode(self, row: TableRow | EventRow) -> Row:
        """The row as it was emitted. Raises MessageError for one that does not fit the system."""
        match row:
            case EventRow(event, values):
                return Event(event, values)
            case TableRow(table, values):
                try:
                    return self._classes[table](*values)
                except (KeyError, TypeError, ValueError) as error:
                    raise MessageError(f"not a row of table {table}: {error!r}") from error


def _values_of(row: type) -> Any:
    """A function that lists the values of a row of this class."""
    names = [field.name for field in fields(row)]
    if len(names) == 1:
        return lambda row: [getattr(row, names[0])]
    getter = attrgetter(*names)
    return lambda row: list(getter(row))
