"""What SQL an expression of a file may hold: operators and functions over the columns of one row, nothing else.

Decided on DuckDB's own parse tree, before anything is run. Whatever is not listed here is refused: subqueries, tables
and table functions, functions that depend on the day, on chance, on the machine or on the session, that wait, or
whose result may be many times larger than their arguments (DuckDB does not stop in the middle of a function).
"""

from __future__ import annotations

import atexit
import functools
import json
import math
import os
import re
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from harness.diagnostics import Code
from harness.errors import InvalidValue
from harness.text import did_you_mean

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MAX_LENGTH = 10_000
"""Characters of an expression."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


FUNCTIONS = _words(
    # Arithmetic
    "+ - * / // % ** ^ & | ~ << >> @ add subtract multiply divide mod abs ceil ceiling floor round round_even "
    "trunc sign sqrt cbrt pow power exp ln log log10 log2 sin cos tan asin acos atan atan2 pi degrees radians "
    "greatest least isnan isinf isfinite "
    # Conditions and null
    "if nullif row "
    # Text
    "|| concat lower upper lcase ucase length len strlen left right substr substring trim ltrim rtrim "
    "contains starts_with ends_with ^@ prefix suffix position strpos instr reverse translate string_split "
    "str_split ~~ !~~ ~~* !~~* ~~~ like_escape not_like_escape ilike_escape not_ilike_escape "
    "regexp_matches regexp_full_match regexp_extract "
    # JSON
    "-> ->> json_extract json_extract_string json_extract_path json_extract_path_text json_array_length "
    "json_type json_valid json_exists json_value "
    # Lists
    "list_value list_contains array_contains list_has array_has list_position list_extract array_extract "
    # Dates and intervals
    "age epoch epoch_ms date_part datepart date_diff datediff date_trunc datetrunc year month day hour minute "
    "second millisecond microsecond make_date make_timestamp strptime try_strptime to_years to_months "
    "to_weeks to_days to_hours to_minutes to_seconds to_milliseconds to_microseconds "
)
"""The functions of a row. Each is deterministic."""

AGGREGATES = _words(
    "count count_if sum avg mean min max median mode quantile quantile_cont quantile_disc stddev stddev_pop "
    "stddev_samp var_pop var_samp variance bool_and bool_or "
)
"""The functions of many rows, for what is an aggregate."""

_TYPES = _words(
    "TINYINT SMALLINT INTEGER INT BIGINT HUGEINT UTINYINT USMALLINT UINTEGER UBIGINT UHUGEINT FLOAT REAL "
    "DOUBLE DECIMAL NUMERIC BOOLEAN BOOL VARCHAR TEXT STRING CHAR BPCHAR INT1 INT2 INT4 INT8 INT16 INT32 "
    "INT64 FLOAT4 FLOAT8 LONG SHORT LOGICAL DATE TIME TIMESTAMP DATETIME INTERVAL "
)
"""What may be cast to. Not time zones: they are those of the machine."""

_CLASSES = _words(
    "BETWEEN CASE CAST COLLATE COLUMN_REF COMPARISON CONJUNCTION CONSTANT FUNCTION LAMBDA OPERATOR TYPE "
)
"""Nodes of the parse tree. A LAMBDA is the operator `->` of JSON: no function that takes a lambda is allowed."""

_REFUSED = {
    "SUBQUERY": "is a subquery",
    "WINDOW": "is a window function",
    "STAR": "STAR is more than one value",
    "PARAMETER": "is a parameter",
}
_CHANGING = _words(
    "random setseed uuid uuidv4 uuidv7 gen_random_uuid now today current_date current_time current_timestamp "
    "localtime localtimestamp current_localtime current_localtimestamp transaction_timestamp get_current_time "
    "get_current_timestamp current_setting getvariable getenv nextval currval txid_current version ago "
    "pg_postmaster_start_time pg_conf_load_time to_timestamp timezone "
)
"""DuckDB's functions whose value is not one of their arguments alone."""

_JSON = frozenset(
    name for name in FUNCTIONS if name.startswith(("json_extract", "json_value", "json_exists", "->"))
)
_PARSED = {"type", "cte_map", "select_list", "from_table", "aggregate_handling"}
"""What the parse tree of a query of one expression consists of."""


def bad_expression(found: str, allowed: str = "", hint: str = "") -> InvalidValue:
    return InvalidValue(Code.BAD_EXPRESSION, found, allowed, hint)


@functools.lru_cache(maxsize=4096)
def check_sql(expression: str, names: tuple[str, ...], *, aggregates: bool = False) -> None:
    """Raises InvalidValue for what is not an expression over columns of these names, duckdb.Error for what DuckDB
    cannot parse. Nothing is run.
    """
    if len(expression) > MAX_LENGTH:
        raise bad_expression(f"has {len(expression):,} characters", f"at most {MAX_LENGTH:,} are allowed")
    allowed = FUNCTIONS | AGGREGATES if aggregates else FUNCTIONS
    known = {name.lower() for name in names}
    # What would close a parenthesis to add SQL of its own does not fit between brackets. Comments end with the line.
    for query in (f"SELECT ({expression}\n)", f"SELECT [{expression}\n]"):
        statements = _parse(query)
        node = statements[0]["node"]
        if (
            len(statements) != 1
            or node.keys() - _PARSED
            or node["from_table"]["type"] != "EMPTY"
            or len(node.get("select_list", ())) != 1
        ):
            raise bad_expression("is not an SQL expression", "only one expression is allowed")
        for one in _nodes(node["select_list"]):
            _check_node(one, expression, allowed, known, names)


def _check_node(
    node: Mapping[str, Any], expression: str, functions: frozenset[str], known: set[str], names: Iterable[str]
) -> None:
    kind = node["class"]
    if kind not in _CLASSES:
        raise bad_expression(
            _REFUSED.get(kind, f"holds a {str(kind).lower().replace('_', ' ')}"),
            "only operators and functions over the columns of one row are allowed",
        )
    if kind == "COLUMN_REF":
        (*parts,) = node["column_names"]
        name = ".".join(parts)
        if len(parts) != 1 or name.lower() not in known:
            if name.lower() in _CHANGING:
                raise _not_deterministic(name, expression)
            if len(parts) != 1:
                raise bad_expression(f"unknown column '{name}'", f"allowed: {', '.join(names)}")
    elif kind == "FUNCTION":
        _check_function(node, expression, functions)
    elif kind == "LAMBDA":
        _check_json_path(node.get("expr"))
    elif kind == "TYPE" and str(node["type_name"]).upper() not in _TYPES:
        raise bad_expression(
            f"type {node['type_name']} is not allowed", "allowed: numbers, text, dates and BOOLEAN"
        )


def _check_function(node: Mapping[str, Any], expression: str, functions: frozenset[str]) -> None:
    name = str(node["function_name"])
    plain = name.lower()
    if plain in _CHANGING:
        raise _not_deterministic(name, expression)
    arguments = [argument["expression"] for argument in node.get("arguments", ())]
    if plain not in functions or len(node["qualified_name"]["path"]) != 1:
        if plain in AGGREGATES:
            raise bad_expression(f"aggregates such as '{name}' are not allowed", "it is about one row")
        if not _exists(plain):
            return  # DuckDB names the nearest that it has
        raise bad_expression(
            f"function '{name}' is not allowed",
            "see docs/experiments.md, slos.yaml",
            did_you_mean(name, functions),
        )
    if plain == "age" and len(arguments) < 2:
        raise bad_expression("'age' of one moment is not deterministic", "give two moments")
    if plain in _JSON and len(arguments) > 1:
        for argument in arguments[1:]:
            _check_json_path(argument)


def _check_json_path(node: Any) -> None:
    """A path with `*` gives lists that may grow at every step."""
    text = _constant(node)
    if text is None or "*" in text:
        raise bad_expression("a JSON path must be a constant without '*'")


def _constant(node: Any) -> str | None:
    if not isinstance(node, dict) or node.get("class") != "CONSTANT":
        return None
    return str(node["literal"].get("text", ""))


def _not_deterministic(name: str, expression: str) -> InvalidValue:
    written = re.search(rf"\b{re.escape(name)}\b", expression, re.IGNORECASE)
    return bad_expression(
        f"'{written[0] if written else name}' is not deterministic", "judging again must give the same result"
    )


def _nodes(tree: Any) -> Iterator[Mapping[str, Any]]:
    """Every expression and type of a parse tree, outer ones first."""
    rest = [tree]
    while rest:
        one = rest.pop()
        if isinstance(one, dict):
            if "class" in one:
                yield one
            rest += reversed(one.values())
        elif isinstance(one, list):
            rest += reversed(one)


_lock = threading.Lock()
_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "threads": 1,
    "enable_external_access": "false",
    "memory_limit": "256MB",
    "temp_directory": "",
}


@functools.cache
def _connection() -> DuckDBPyConnection:
    import duckdb

    atexit.register(_connection.cache_clear)  # or DuckDB reports a leak
    return duckdb.connect(config=_CONFIG)


@contextmanager
def shared_connection() -> Iterator[DuckDBPyConnection]:
    """A connection without data, for one thread at a time. One per process: each takes 15 ms to open."""
    with _lock:
        yield _connection()


def _parse(query: str) -> list[dict[str, Any]]:
    """DuckDB's parse trees of the statements, all of them SELECT."""
    with shared_connection() as connection:
        row = connection.execute(
            "SELECT json_serialize_sql(?, skip_null := true, skip_empty := true)", [query]
        )
        (text,) = row.fetchone() or ("",)
        tree = json.loads(text)
        if tree["error"]:
            connection.extract_statements(query)  # raises what is wrong with the syntax
            raise bad_expression("is not an SQL expression", "only one expression is allowed")
        found: list[dict[str, Any]] = tree["statements"]
        return found


@functools.cache
def _exists(function: str) -> bool:
    with shared_connection() as connection:
        found = connection.execute(
            "SELECT count(*) FROM duckdb_functions() WHERE lower(function_name) = ?", [function]
        )
        return found.fetchone() != (0,)


class _Watchdog:
    """Interrupts connections that take too long, all of them with one thread: a thread for each query costs more than
    the query."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._ends_s: dict[object, tuple[float, DuckDBPyConnection]] = {}
        self._wakes_s = math.inf
        self._process = 0

    def begin(self, key: object, connection: DuckDBPyConnection, seconds: float) -> None:
        end_s = time.perf_counter() + seconds
        with self._changed:
            self._ends_s[key] = (end_s, connection)
            if self._process != os.getpid():  # a forked process has no thread
                self._process, self._wakes_s = os.getpid(), end_s
                thread = threading.Thread(target=self._watch, name="sql-watchdog", daemon=True)
                thread.start()
                atexit.register(self._stop, thread)
            elif end_s < self._wakes_s:
                self._changed.notify()

    def end(self, key: object) -> None:
        """After it nothing interrupts the connection any more."""
        with self._changed:
            self._ends_s.pop(key, None)

    def _stop(self, thread: threading.Thread) -> None:
        with self._changed:
            self._process = 0
            self._changed.notify()
        thread.join()

    def _interrupt(self, now_s: float) -> None:
        for key, (end_s, connection) in list(self._ends_s.items()):
            if end_s <= now_s:
                connection.interrupt()
                del self._ends_s[key]

    def _watch(self) -> None:
        with self._changed:
            while self._process:
                now_s = time.perf_counter()
                self._interrupt(now_s)
                # Later ones are seen when it wakes up: nearly all queries have ended by then.
                self._wakes_s = min((end_s for end_s, _ in self._ends_s.values()), default=math.inf)
                self._changed.wait(None if self._wakes_s == math.inf else self._wakes_s - now_s)


_WATCHDOG = _Watchdog()


@contextmanager
def interrupted_after(connection: DuckDBPyConnection, seconds: float) -> Iterator[None]:
    """Interrupt what the connection runs in the block after some seconds: it raises duckdb.InterruptException."""
    key = object()
    _WATCHDOG.begin(key, connection, seconds)
    try:
        yield
    finally:
        _WATCHDOG.end(key)
