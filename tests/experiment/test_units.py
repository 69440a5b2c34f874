from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from harness.diagnostics import Code
from harness.errors import InvalidValue
from harness.experiment import units
from harness.experiment.units import (
    BITRATE,
    BYTES,
    DURATION,
    RATE,
    RATIO,
    parse_bitrate,
    parse_bytes,
    parse_duration,
    parse_rate,
    parse_ratio,
)

KINDS: list[tuple[Callable[[Any], float], dict[str, Any]]] = [
    (parse_duration, DURATION),
    (parse_bitrate, BITRATE),
    (parse_bytes, BYTES),
    (parse_ratio, RATIO),
    (parse_rate, RATE),
]
SCHEMAS: list[Any] = [units.Duration, units.Bitrate, units.ByteCount, units.Ratio, units.Rate]
NUMBERS = st.decimals(min_value=0, max_value=10**6, places=3).map(lambda number: format(number, "f"))


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (parse_duration, "200ms", 0.2),
        (parse_duration, "1m30s", 90),
        (parse_duration, "1h 2m 3.5s", 3723.5),
        (parse_duration, "250 us", 250e-6),
        (parse_duration, "0s", 0),
        (parse_bitrate, "5Mbps", 5e6),
        (parse_bitrate, "1.5Gbps", 1.5e9),
        (parse_bytes, "64KB", 64_000),
        (parse_bytes, "64KiB", 65_536),
        (parse_ratio, "0.1%", 0.001),
        (parse_rate, "4/s", 4),
        (parse_rate, "90/m", 1.5),
    ],
)
def test_quantities_come_in_base_units(parse: Callable[[Any], float], text: str, value: float) -> None:
    assert parse(text) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    ("parse", "text", "code", "hint"),
    [
        (parse_duration, 60, Code.BAD_UNIT, "did you mean 60s?"),
        (parse_duration, "60", Code.BAD_UNIT, "did you mean 60s?"),
        (parse_duration, "400", Code.BAD_UNIT, "did you mean 400ms or 400s?"),
        (parse_duration, "5sec", Code.BAD_UNIT, "did you mean 5s?"),
        (parse_duration, "5µs", Code.BAD_UNIT, "did you mean 5us?"),
        (parse_duration, "5x", Code.BAD_UNIT, "for example 200ms or 1m30s"),
        (parse_duration, "-5s", Code.BAD_VALUE, ""),
        (parse_duration, "1e3s", Code.BAD_UNIT, "for example 200ms or 1m30s"),
        (parse_duration, "5 s later", Code.BAD_VALUE, ""),
        (parse_duration, "", Code.BAD_VALUE, ""),
        (parse_duration, True, Code.WRONG_TYPE, ""),
        (parse_duration, None, Code.WRONG_TYPE, ""),
        (parse_duration, [], Code.WRONG_TYPE, ""),
        (parse_duration, "9" * 400 + "s", Code.OUT_OF_RANGE, ""),
        (parse_duration, "٣s", Code.BAD_VALUE, ""),
        (parse_bitrate, "10mbps", Code.BAD_UNIT, "did you mean 10Mbps?"),
        (parse_bitrate, "10Mbit/s", Code.BAD_UNIT, "did you mean 10Mbps?"),
        (parse_bitrate, "1Mbps 1kbps", Code.BAD_VALUE, ""),
        (parse_bytes, "64kb", Code.BAD_UNIT, "did you mean 64KB?"),
        (parse_ratio, 0.999, Code.BAD_UNIT, "did you mean 99.9%?"),
        (parse_ratio, "99", Code.BAD_UNIT, "did you mean 99%?"),
        (parse_rate, 4, Code.BAD_UNIT, "did you mean 4/s?"),
    ],
)
def test_other_values_are_refused_with_a_hint(
    parse: Callable[[Any], float], text: Any, code: Code, hint: str
) -> None:
    with pytest.raises(InvalidValue) as caught:
        parse(text)
    assert (caught.value.diagnostic.code, caught.value.diagnostic.hint) == (code, hint)


def test_the_message_has_all_parts() -> None:
    with pytest.raises(InvalidValue) as caught:
        parse_duration("5sec")
    assert str(caught.value) == ("unknown unit 'sec' in '5sec'; allowed: us, ms, s, m, h; did you mean 5s?")


@settings(deadline=None)
@given(NUMBERS, st.data())
def test_every_unit_means_its_factor(number: str, data: st.DataObject) -> None:
    parse, known = data.draw(st.sampled_from(KINDS))
    unit = data.draw(st.sampled_from(list(known)))
    space = data.draw(st.sampled_from(["", " "]))
    value = parse(number + space + unit)
    expected = float(number) * known[unit]
    assert value == (round(expected) if parse is parse_bytes else pytest.approx(expected, rel=1e-12))


@settings(deadline=None)
@given(st.lists(st.tuples(NUMBERS, st.sampled_from(list(DURATION))), min_size=1, max_size=5))
def test_parts_of_a_duration_add_up(parts: list[tuple[str, str]]) -> None:
    text = "".join(number + unit for number, unit in parts)
    expected = math.fsum(float(number) * DURATION[unit] for number, unit in parts)
    assert parse_duration(text) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@settings(deadline=None)
@given(st.sampled_from(KINDS), st.text() | st.integers() | st.floats() | st.none() | st.booleans())
def test_anything_else_is_a_value_error(kind: tuple[Callable[[Any], float], Any], value: Any) -> None:
    parse, known = kind
    try:
        result = parse(value)
    except ValueError:
        pass
    else:
        assert math.isfinite(result)
        assert result >= 0
        assert isinstance(value, str)
        assert any(unit in value for unit in known)


@settings(deadline=None)
@given(st.integers(0, len(KINDS) - 1), st.text(alphabet="0123456789. smhkMGbpsiBK%/", max_size=12))
def test_the_json_schema_allows_what_the_parser_allows(kind: int, text: str) -> None:
    schema = TypeAdapter[float](SCHEMAS[kind]).json_schema()
    schema = schema.get("$defs", {}).get(SCHEMAS[kind].__name__, schema)
    text = text.strip()
    try:
        KINDS[kind][0](text)
    except ValueError:
        assert not re.search(schema["pattern"], text)
    else:
        assert re.search(schema["pattern"], text)


@pytest.mark.parametrize(
    ("kind", "text"),
    [(units.PositiveDuration, "0s"), (units.PositiveRate, "0/s")],
)
def test_zero_is_refused_where_a_value_must_be_positive(kind: Any, text: str) -> None:
    assert TypeAdapter[float](kind).validate_python(text.replace("0", "1")) == 1
    with pytest.raises(ValidationError) as caught:
        TypeAdapter[float](kind).validate_python(text)
    (error,) = caught.value.errors()
    assert error["ctx"]["error"].diagnostic.code is Code.OUT_OF_RANGE
