"""SQL expressions in which arithmetic that gives no finite number is null.

DuckDB orders NaN above every number, so `0/0 >= 0.9` is true there. An SLI wants it to be unknown.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from harness.history.metadata import HistoryError
from harness.history.read import History
from harness.history.table import literal

type _Node = dict[str, Any]

_FLOATS = ("DOUBLE", "FLOAT")


MAX_FINITE = 10_000
_FINITE: dict[tuple[str, str, tuple[tuple[str, str], ...]], str] = {}
"""Results by the columns that the expression may use: they do not depend on the rows."""


def finite(history: History, table: str, expression: str) -> str:
    """The expression with null for every division or other function that is NaN or infinite, and for every
    constant that is NaN. Null propagates as SQL defines it: `size = 0 or part / size > 0.9` is true for size 0.

    An expression that DuckDB cannot take apart is returned as it is.
    """
    key = (expression, table, tuple(history.tables.get(table, {}).items()))
    if key not in _FINITE:
        if len(_FINITE) >= MAX_FINITE:
            _FINITE.clear()
        _FINITE[key] = _wrapped(history, table, expression)
    return _FINITE[key]


def _wrapped(history: History, table: str, expression: str) -> str:
    try:
        statement = _parse(history, expression)
        nodes = list(_floats(statement["statements"][0]["node"]["select_list"][0]))
        wrapped = [node for node in nodes if _is_float(history, table, _text(history, node))]
        if not wrapped:
            return expression
        for node in wrapped:
            _wrap(history, node)
        return _text(history, statement["statements"][0]["node"]["select_list"][0])
    except (HistoryError, KeyError, TypeError, ValueError):
        return expression


def _parse(history: History, expression: str) -> _Node:
    ((text,),) = history.query(f"SELECT json_serialize_sql({literal(f'SELECT ({expression}{chr(10)})')})")
    parsed: _Node = json.loads(text)
    return parsed


def _text(history: History, node: _Node) -> str:
    statement = _parse(history, "0")
    statement["statements"][0]["node"]["select_list"] = [node]
    ((text,),) = history.query(f"SELECT json_deserialize_sql({literal(json.dumps(statement))})")
    return str(text).removeprefix("SELECT ")


def _floats(node: Any) -> Iterator[_Node]:
    """The largest functions and casts, the innermost first. Arithmetic passes on what is not finite, so its
    parts need no look of their own."""
    if isinstance(node, list):
        for one in node:
            yield from _floats(one)
    elif isinstance(node, dict):
        if node.get("class") in ("FUNCTION", "CAST"):
            yield node
            return
        for one in node.values():
            yield from _floats(one)


def _is_float(history: History, table: str, expression: str) -> bool:
    try:
        return history.kind(expression, table).startswith(_FLOATS)
    except HistoryError:
        return False


def _wrap(history: History, node: _Node) -> None:
    """Replace the node, in place, by null where it is not finite."""
    known = "isfinite(0.0)" if node["class"] == "FUNCTION" else "NOT isnan(0.0)"
    case = _parse(history, f"CASE WHEN {known} THEN 1 END")["statements"][0]["node"]["select_list"][0]
    copy = dict(node)
    check = case["case_checks"][0]
    check["then_expr"] = copy
    call = check["when_expr"] if node["class"] == "FUNCTION" else check["when_expr"]["children"][0]
    call["arguments"][0] = {**call["arguments"][0], "expression": copy}
    node.clear()
    node.update(case)
