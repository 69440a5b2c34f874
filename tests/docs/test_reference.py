"""docs/reference.md is made from the source, and is up to date."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

import harness

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def make_reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_reference", DOCS / "make_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_up_to_date(make_reference: ModuleType) -> None:
    assert (DOCS / "reference.md").read_text(encoding="utf-8") == make_reference.page(), "run: make docs"


def test_it_has_every_public_name_once() -> None:
    page = (DOCS / "reference.md").read_text(encoding="utf-8")
    headings = re.findall(r"^### `(\w+)`$", page, re.MULTILINE)
    assert sorted(headings) == sorted({*harness.__all__} - {"__version__"})


def test_every_public_name_is_described() -> None:
    page = (DOCS / "reference.md").read_text(encoding="utf-8")
    entries = re.split(r"^### `(\w+)`\n\n```python\n.*?```\n", page, flags=re.MULTILINE | re.DOTALL)[1:]
    described = dict(zip(entries[::2], entries[1::2], strict=True))
    assert [name for name, text in described.items() if not re.match(r"\s*[A-Z`(*]", text)] == []
