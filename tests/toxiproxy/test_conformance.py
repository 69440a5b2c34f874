"""No case of the contract is without a test, and none of the tests that are named has gone."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

from tests.toxiproxy.conformance import CONTRACT, UPSTREAM

HERE = Path(__file__).parent


@cache
def functions_of(file: str) -> frozenset[str]:
    folder, _, name = file.rpartition("/")
    tree = ast.parse((HERE / folder / f"test_{name}.py").read_text())
    return frozenset(
        node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    )


def exists(test: str) -> bool:
    file, _, name = test.partition("::")
    return f"test_{name}" in functions_of(file)


@pytest.mark.parametrize("section", CONTRACT)
def test_every_case_of_a_section_has_its_test(section: str) -> None:
    assert [f"{case}: {test}" for case, test in CONTRACT[section].items() if not exists(test)] == []


def test_every_test_of_toxiproxy_has_its_own_here() -> None:
    assert [f"{name}: {test}" for name, test in UPSTREAM.items() if not exists(test)] == []


def test_every_section_is_there() -> None:
    assert list(CONTRACT) == [f"2.{number}" for number in range(1, 8)]
    # api_test.go has 34, proxy_test.go ten; the toxics, the links, the metrics and the end-to-end script the rest.
    assert len(UPSTREAM) >= 34 + 10 + 30
