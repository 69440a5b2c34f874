"""Which tests run in one worker, and which begin first."""

from __future__ import annotations

import pytest

_SHARED_SCOPES = {"module", "class", "package"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that share a fixture run in one worker: it is made once. Live tests, which mostly wait, begin first."""
    for item in items:
        grouped = item.get_closest_marker("xdist_group")
        if isinstance(item, pytest.Function) and not grouped and (shared := _shared_fixture(item)):
            item.add_marker(pytest.mark.xdist_group(shared))
    items.sort(key=lambda item: item.get_closest_marker("live") is None)


def _shared_fixture(item: pytest.Function) -> str:
    """The file whose fixture of more than one test this test takes, or ''."""
    for definitions in item._fixtureinfo.name2fixturedefs.values():
        for definition in definitions:
            if definition.scope in _SHARED_SCOPES and definition.baseid:
                return definition.baseid
    return ""
