"""What a system may not be: everything that is wrong with it at once, before anything runs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness.system import Access, Link, Node, Topology, UnknownSystem, load_system


async def service(_: object) -> None: ...


def test_topology_says_everything_that_does_not_fit() -> None:
    nodes = (Node("gateway-1", "gateway", "wst", service), Node("gateway-1", "gateway", "west", service))
    with pytest.raises(ValueError, match="two nodes are called 'gateway-1'") as caught:
        Topology(("west",), nodes, (Link("west", "east", 0.01, 1e9), Link("west", "gateway-1", 0.01, 0.0)))
    for part in ("node 'gateway-1' is in zone 'wst'; there is west", "'east' is neither", "must be above 0"):
        assert part in str(caught.value)


@pytest.mark.parametrize("values", [(0.0, 1e6, 0.01), (1e6, 0.0, 0.01), (1e6, 1e6, -1.0)])
def test_access_that_carries_nothing_is_refused(values: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="rates must be above 0"):
        Access(*values)


def test_loss_is_a_probability() -> None:
    with pytest.raises(ValueError, match="probability"):
        Access(1e6, 1e6, 0.01, loss=1.0)


@pytest.mark.parametrize(
    ("text", "said"),
    [("import random random", "SyntaxError"), ("1 // 0", "ZeroDivisionError"), ("system = 5", "is a int")],
)
def test_a_module_that_is_wrong_is_the_users_mistake(
    text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_shop.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "broken_shop", raising=False)
    with pytest.raises(UnknownSystem, match=said):
        load_system("broken_shop:system")
