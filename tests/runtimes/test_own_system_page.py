"""The page for people who bring their own system: what it shows works."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tests.support import toy_system

PAGE = Path(__file__).parents[2] / "docs" / "own-system.md"


def test_trying_it() -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {"system": toy_system.system, "Visit": toy_system.Visit}
    exec(compile(blocks[-1], str(PAGE), "exec"), names)


def test_the_gateway_on_the_page_is_valid_code() -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(blocks[0], str(PAGE), "exec"), names)
    assert callable(names["gateway"])
