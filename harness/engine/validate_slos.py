"""Whether SLOs can be computed from a system's tables, and whether their limits mean what they measure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from harness.diagnostics import Code, Diagnostic, Path, unknown_name
from harness.errors import InvalidValue
from harness.experiment.model import PercentileSlo, RatioSlo, Slo
from harness.experiment.parse import SlosDraft
from harness.experiment.source import Source
from harness.history.columns import EVENT_COLUMNS, Column, check_expression, columns
from harness.sli.threshold import parse_limit
from harness.system import System
from harness.text import quote

EVENTS = "events"
"""The table of events, which every history has."""

_BASE_UNITS = {"_s": "1s", "_bps": "1bps", "_bytes": "1B", "_ratio": "1%", "_share": "1%"}
"""How a column's name ends, and a quantity in that unit."""

_OTHER_UNITS = {
    "_us": ("seconds", "{} / 1e6"),
    "_ms": ("seconds", "{} / 1e3"),
    "_minutes": ("seconds", "{} * 60"),
    "_kbps": ("bit/s", "{} * 1e3"),
    "_mbps": ("bit/s", "{} * 1e6"),
    "_gbps": ("bit/s", "{} * 1e9"),
    "_kb": ("bytes", "{} * 1e3"),
    "_mb": ("bytes", "{} * 1e6"),
    "_percent": ("shares of 1", "{} / 100"),
}
"""Endings of units that limits are not given in, and how to come to one that they are."""


def validate_slos(draft: SlosDraft, system: System | None) -> Iterator[Diagnostic]:
    """Everything about the SLOs that does not fit the system; nothing about what only stands in for something.

    `system` None: it could not be loaded, and its tables are not known.
    """
    for name, slo in draft.slos.items():
        if slo is not None:
            yield from draft.reliable(_slo(draft.source, name, slo, system))


def _slo(source: Source, name: str, slo: Slo, system: System | None) -> Iterator[Diagnostic]:
    if isinstance(slo, RatioSlo):
        yield from check_share(source, (name, "target"), slo.target)
    else:
        yield from check_limit(source, (name, "at_most"), slo.at_most, slo)
        if (ending := _ending(slo.value)) in _OTHER_UNITS:
            base, formula = _OTHER_UNITS[ending]
            found = f"{quote(slo.value)} is not in {base}, as its limit is"
            yield source.at(
                (name, "value"), Code.BAD_UNIT, found, f"write value: {formula.format(slo.value)}"
            )
    if system is None:
        return
    known = table_columns(system, slo.table)
    if known is None:
        tables = [*system.tables, EVENTS]
        yield unknown(source, (name, "table"), "table", slo.table, tables, f"system {system.name}")
        return
    for key in ("where", "good", "bad", "value", "at"):
        expression = getattr(slo, key, None)
        if expression is None:
            continue
        if problem := check_expression(expression, known, numeric=key in ("value", "at")):
            yield source.locate(problem, (name, key))
    names = [column.name for column in known]
    if slo.by is not None and slo.by not in names:
        yield unknown(source, (name, "by"), "column", slo.by, names, f"table {slo.table}")


def check_share(source: Source, path: Path, target: float) -> Iterator[Diagnostic]:
    """A share that samples can show."""
    if not 0 < target < 1:
        yield source.at(
            path,
            Code.OUT_OF_RANGE,
            f"the target is {target * 100:.10g}%",
            "more than 0% and less than 100%: no number of samples shows that all are good",
        )


def check_limit(source: Source, path: Path, text: str, slo: PercentileSlo) -> Iterator[Diagnostic]:
    """A limit with a unit: that of the column it is about, or of the SLO's own limit."""
    try:
        limit, unit = parse_limit(text)
    except InvalidValue as error:
        yield source.locate(error.diagnostic, path)
        return
    if limit <= 0:
        yield source.at(path, Code.OUT_OF_RANGE, f"the limit is '{text}'", "it must be more than 0")
    example = _BASE_UNITS.get(_ending(slo.value), slo.at_most)
    try:
        _, measured = parse_limit(example)
    except ValueError:
        return
    if unit != measured:
        yield source.at(
            path,
            Code.BAD_UNIT,
            f"'{text}' is in {unit}",
            f"{quote(slo.value)} is in {measured}, such as {example}",
        )


def _ending(value: str) -> str:
    """How the name of a column says its unit; nothing for what is more than a column's name."""
    if not value.isidentifier():
        return ""
    return next((end for end in (*_BASE_UNITS, *_OTHER_UNITS) if value.endswith(end)), "")


def table_columns(system: System, table: str) -> tuple[Column, ...] | None:
    """The columns of a table of the system, or of the events; None when there is no such table."""
    if table == EVENTS:
        return EVENT_COLUMNS
    row_type = system.tables.get(table)
    return None if row_type is None else columns(row_type)


def unknown(
    source: Source,
    path: Path,
    what: str,
    word: str,
    allowed: Sequence[str],
    where: str = "",
    *,
    key: bool = False,
) -> Diagnostic:
    """The diagnostic of an unknown name at `path`."""
    diagnostic = replace(unknown_name(what, word, allowed, where), about_key=key)
    return source.locate(diagnostic, path)
