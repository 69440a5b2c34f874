"""Which tests run in one worker, and which begin first."""

from __future__ import annotations

from typing import Any

import pytest

_SHARED_SCOPES = {"module", "class", "package"}


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests that share a fixture run in one worker: it is made once. Live tests, which mostly wait, begin first."""
    items.sort(key=lambda item: item.get_closest_marker("live") is None)
    if not getattr(config.option, "loadgroup", False):
        return
    for item in items:
        mark = item.get_closest_marker("xdist_group")
        group = mark.args[0] if mark else isinstance(item, pytest.Function) and _shared_fixture(item)
        if group and not item.nodeid.endswith(f"@{group}"):
            _set_group(item, group)


def _set_group(item: Any, group: str) -> None:
    """End the node id with the group, as pytest-xdist reads it. pytest-xdist 3.8 does this in vain with pytest 9.2
    (pytest-xdist issue 1386), and before this file has found the groups."""
    nodeid = f"{item.nodeid}@{group}"
    if hasattr(item, "_id"):
        item._id = type(item._id).parse(nodeid)
    else:
        item._nodeid = nodeid


def _shared_fixture(item: pytest.Function) -> str:
    """The file whose fixture of more than one test this test takes, or ''."""
    for definitions in item._fixtureinfo.name2fixturedefs.values():
        for definition in definitions:
            if definition.scope in _SHARED_SCOPES and definition.baseid:
                return definition.baseid
    return ""
