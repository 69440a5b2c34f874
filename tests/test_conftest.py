"""tests/conftest.py reads private fields of pytest: these tests fail where another version moves them."""

from __future__ import annotations

import pytest

from tests.conftest import pytest_collection_modifyitems

pytest_plugins = ["pytester"]

TESTS = """
import pytest

@pytest.fixture(scope="module")
def shared():
    return 1

@pytest.fixture
def own():
    return 1

def test_one(shared): pass
def test_two(shared): pass
def test_alone(own): pass

@pytest.mark.xdist_group("ports")
def test_marked(shared): pass
"""


def group_of(item: pytest.Item) -> str:
    return item.nodeid.partition("@")[2]


def test_tests_that_share_a_fixture_get_one_group(pytester: pytest.Pytester) -> None:
    items = pytester.getitems(TESTS)
    config = items[0].config
    config.option.loadgroup = True
    pytest_collection_modifyitems(config, items)
    groups = {item.name: group_of(item) for item in items}
    assert groups["test_one"] == groups["test_two"] != ""
    assert groups["test_alone"] == ""
    assert groups["test_marked"] == "ports"


def test_without_workers_there_are_no_groups(pytester: pytest.Pytester) -> None:
    items = pytester.getitems(TESTS)
    items[0].config.option.loadgroup = False
    pytest_collection_modifyitems(items[0].config, items)
    assert not any(group_of(item) for item in items)
