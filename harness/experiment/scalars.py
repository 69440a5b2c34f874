"""Plain scalars of YAML 1.2's core schema (https://yaml.org/spec/1.2.2/, 10.3.2)."""

from __future__ import annotations

import re

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
