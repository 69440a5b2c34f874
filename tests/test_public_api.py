"""The public API: complete, lazy, and the only place that documents and examples import from."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import harness

ROOT = Path(__file__).parents[1]
SOURCE = (ROOT / "harness" / "__init__.py").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
EXAMPLES = sorted((ROOT / "harness" / "scaffold" / "own").rglob("*.py"))


@pytest.mark.parametrize("name", harness.__all__)
def test_every_name_is_there(name: str) -> None:
    assert getattr(harness, name) is not None


def test_type_checkers_see_the_same_names() -> None:
    for_checkers = {
        (node.module, alias.name)
        for node in ast.walk(ast.parse(SOURCE))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("harness.")
        for alias in node.names
    }
    for_users = {(f"harness.{module}", name) for module, names in harness._MODULES.items() for name in names}
    assert for_checkers - {("harness.version", "__version__")} == for_users
    assert {name for _, name in for_users} == {*harness.__all__} - {"__version__"}


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = harness.nothing


def test_importing_it_imports_nothing_else() -> None:
    program = (
        "import sys, json, harness; print(json.dumps([m for m in sys.modules if m.startswith('harness')]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, timeout=60)
    assert set(json.loads(done.stdout)) == {"harness", "harness.version"}


@pytest.mark.parametrize("file", [*PAGES, *EXAMPLES], ids=lambda file: file.name)
def test_documents_and_examples_import_from_the_public_api_only(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert re.findall(r"^\s*(?:from|import) (harness\.[\w.]+)", text, re.MULTILINE) == []
