"""The differences of two JSON documents, in lines for people."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

_NOTHING = object()


def differences(before: Any, after: Any) -> Iterator[str]:
    """`experiments[0].gates[1].value: 0.99 became 0.98`, one line for each value that is not the same."""
    yield from _walk("", before, after)


def _walk(path: str, before: Any, after: Any) -> Iterator[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in dict.fromkeys([*before, *after]):
            inner = f"{path}.{key}" if path else str(key)
            yield from _walk(inner, before.get(key, _NOTHING), after.get(key, _NOTHING))
    elif isinstance(before, list) and isinstance(after, list):
        for index in range(max(len(before), len(after))):
            pair = [part[index] if index < len(part) else _NOTHING for part in (before, after)]
            yield from _walk(f"{path}[{index}]", *pair)
    elif type(before) is not type(after) or before != after:
        yield f"{path or 'the document'}: {_format(before)} became {_format(after)}"


def _format(value: Any) -> str:
    if value is _NOTHING:
        return "nothing"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}..."
