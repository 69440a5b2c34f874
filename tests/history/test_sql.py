"""SQL of a file cannot read, wait, hang or fill memory, and gives the same result on every day."""

from __future__ import annotations

import duckdb
import pytest

from harness.diagnostics import Code
from harness.history.columns import EVENT_COLUMNS, Column
from harness.history.expressions import check_expression
from harness.history.sql import AGGREGATES, FUNCTIONS, MAX_LENGTH, interrupted_after

KNOWN = (
    Column("t_s", "DOUBLE", False),
    Column("outcome", "VARCHAR", False),
    Column("ok", "BOOLEAN", False),
    Column("startup_s", "DOUBLE", True),
)


@pytest.mark.parametrize(
    "expression",
    [
        # Without an end, or larger than memory
        "(with recursive r(n) as (select 1 union all select n + 1 from r) select max(n) from r) > 0",
        "(select count(*) from range(1000000) a, range(1000000) b) > 0",
        "exists (from generate_series(1, 1000000000000))",
        "t_s in (select * from range(10))",
        "t_s = any (select unnest(range(1000000000)))",
        "length(repeat('x', 4000000000)) > 1",
        "length(rpad('x', 2000000000, 'y')) > 1",
        "len(range(4000000000)) > 1",
        "len(list_resize([1], 2000000000)) > 1",
        "length(format('{:>2000000000}', 1)) > 1",
        "length(printf('%2000000000d', 1)) > 1",
        "length(replace(replace('aaaaaaaaaa', 'a', 'aaaaaaaaaa'), 'a', 'aaaaaaaaaa')) > 1",
        "length(regexp_replace('aaa', 'a', 'aaaaaa', 'g')) > 1",
        "length(concat_ws(outcome, '', '', '')) > 1",
        "length(bar(1, 0, 10, 1000000000)) > 1",
        "list_reduce([1, 2], lambda a, b: a + b) > 1",
        "list_aggregate([t_s], 'sum') > 1",
        "len([1]::int[100000000]) > 1",
        "len(cast(fields->'$..*' as varchar)) > 1",
        "json_extract(outcome, outcome) is null",
        "unnest([true])",
        # Waiting
        "sleep_ms(100000) is null",
        "pg_sleep(1000) is null",
        # Of another day, chance, the machine or the session
        "age(timestamp '2020-01-01') > interval 1 day",
        "AGE(timestamp '2020-01-01') > interval 1 day",
        "ago(interval 1 day) > timestamp '2020-01-01'",
        "now() > timestamp '2020-01-01'",
        "main.random() > 0.5",
        "system.main.random() > 0.5",
        '"random"() > 0.5',
        "current_date > date '2020-01-01'",
        "CURRENT_TIMESTAMP is null",
        "today() is null",
        "get_current_time() is null",
        "uuid() is null",
        "pg_postmaster_start_time() is null",
        "current_setting('threads') = '1'",
        "getenv('HOME') is null",
        "getvariable('x') is null",
        "current_database() = 'memory'",
        "current_query() is null",
        "cast('2020-01-01' as timestamptz) is null",
        "timezone('UTC', timestamp '2020-01-01') is null",
        "txid_current() > 0",
        "version() = 'x'",
        "nextval('s') > 0",
        # Other text than an expression
        "' || (select 1) || ok",
        "ok) from t where (ok",
        "ok; select 1",
        "#1",
        "$1",
        "default",
        "ok or true] = [false",
        "_table_of_the_slo.ok",
        "count(*) over () > 1",
        "write_log('x') is null",
        "error('x') is null",
    ],
)
def test_what_no_row_needs_is_refused(expression: str) -> None:
    problem = check_expression(expression, (*KNOWN, Column("fields", "VARCHAR", False)))
    assert problem is not None
    assert problem.code is Code.BAD_EXPRESSION


def test_an_expression_has_a_limited_length() -> None:
    problem = check_expression(" or ".join(["ok"] * MAX_LENGTH), KNOWN)
    assert problem is not None
    assert problem.code is Code.BAD_EXPRESSION
    assert len(str(problem)) < 300


@pytest.mark.parametrize("expression", ["(" * 1500 + "ok" + ")" * 1500, "not " * 2000 + "ok"])
def test_nesting_is_limited(expression: str) -> None:
    problem = check_expression(expression, KNOWN)
    assert problem is not None
    assert problem.code is Code.BAD_EXPRESSION


@pytest.mark.parametrize(
    "expression",
    [
        "coalesce(startup_s, 0) + t_s > 1",
        "case outcome when 'a' then ok else not ok end",
        "outcome like 'a%' or outcome not ilike '%b_' or outcome similar to 'c+' or outcome ~ 'd'",
        "outcome in ('a', 'b') and t_s not between 1 and 2",
        "fields->>'session' = 'a' and (fields->'a')->>'$.b' is distinct from 'c'",
        "try_cast(outcome as integer) > 1 and t_s::int % 2 = 0",
        "greatest(t_s, startup_s) > pow(2, 3) and round(t_s, 1) > 0.5 and abs(t_s) >= sqrt(2)",
        "outcome[1:2] = 'ab' and length(outcome) > 1",
        "extract(hour from timestamp '2020-01-01 12:00:00') = 12",
        "age(timestamp '2020-01-02', timestamp '2020-01-01') > interval 1 hour",
        "list_contains(['a', 'b'], outcome) and not isnan(t_s)",
        "outcome collate nocase = 'A'",
        'T_S > 1 and "ok"',
    ],
)
def test_what_people_write_is_allowed(expression: str) -> None:
    assert check_expression(expression, (*KNOWN, EVENT_COLUMNS[-1])) is None


def test_the_allowed_functions_depend_on_their_arguments_alone() -> None:
    with duckdb.connect() as connection:
        found = connection.execute(
            "SELECT function_name, stability FROM duckdb_functions() "
            "WHERE function_type IN ('scalar', 'aggregate') AND stability IS NOT NULL"
        ).fetchall()
    changing = {name for name, stability in found if stability != "CONSISTENT"}
    assert "now" in changing
    # `age` of two moments is allowed, that of one is not.
    assert changing & (FUNCTIONS | AGGREGATES) <= {"age"}


def test_a_query_is_interrupted() -> None:
    with (
        duckdb.connect() as connection,
        pytest.raises(duckdb.InterruptException),
        interrupted_after(connection, 0.05),
    ):
        connection.execute(
            "SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE a.range + b.range = -1"
        )
