"""What a system may not be: everything that is wrong with it at once, before anything runs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness.diagnostics import Code
from harness.errors import InvalidInput, InvalidValue
from harness.system import Access, InvalidSystem, Link, Node, Topology, find_system


async def service(_: object) -> None: ...


def test_a_topology_reports_everything_that_does_not_fit() -> None:
    nodes = (Node("gateway-1", "gateway", "wst", service), Node("gateway-1", "gateway", "west", service))
    with pytest.raises(InvalidInput) as caught:
        Topology(("west",), nodes, (Link("west", "east", 0.01, 1e9), Link("west", "gateway-1", 0.01, 0.0)))
    assert sorted(one.code for one in caught.value.diagnostics) == [
        *(Code.DUPLICATE, Code.OUT_OF_RANGE, Code.UNKNOWN_NAME, Code.UNKNOWN_NAME),
    ]
    for name in ("'gateway-1'", "'wst'", "'east'"):
        assert name in str(caught.value)


@pytest.mark.parametrize("values", [(0.0, 1e6, 0.01), (1e6, 0.0, 0.01), (1e6, 1e6, -1.0)])
def test_access_without_capacity_is_refused(values: tuple[float, float, float]) -> None:
    with pytest.raises(InvalidValue) as caught:
        Access(*values)
    assert caught.value.diagnostic.code is Code.OUT_OF_RANGE


def test_loss_is_a_probability() -> None:
    with pytest.raises(InvalidValue) as caught:
        Access(1e6, 1e6, 0.01, loss=1.0)
    assert caught.value.diagnostic.code is Code.OUT_OF_RANGE


@pytest.mark.parametrize(
    ("text", "part"),
    [("import random random", "SyntaxError"), ("1 // 0", "ZeroDivisionError"), ("system = 5", "is a int")],
)
def test_a_module_that_cannot_be_used_is_a_usage_error(
    text: str, part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_shop.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "broken_shop", raising=False)
    with pytest.raises(InvalidSystem, match=part):
        find_system("broken_shop:system")
