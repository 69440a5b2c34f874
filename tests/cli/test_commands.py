"""`plan`, `list`, `validate`, `schema`: what they tell."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.support import BACKEND_LOST, UNTOUCHED, call, write_suite


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    return write_suite(tmp_path, backend_lost=BACKEND_LOST, untouched=UNTOUCHED)


def test_validate_counts_what_it_read(suite: Path) -> None:
    called = call("validate", suite)
    assert called.code == 0
    assert "backend-lost: 1 fault, 3 gates, 1 arm" in called.out
    assert called.out.endswith("2 experiments valid\n")
    assert call("validate", suite, "--json").document == {
        "verdict": "valid",
        "exit_code": 0,
        "experiments": ["backend-lost", "untouched"],
    }


def test_plan_names_picked_targets_times_settings_and_arms(suite: Path) -> None:
    called = call("plan", suite)
    assert called.code == 0
    assert "5 s to 10 s: crash on backend-" in called.out
    assert "5 s to 8 s: latency on backend-east > backend-west" in called.out
    assert "delay 1 s" in called.out
    assert "arm     without gateway.retry, gateway.fallback, must breach: answered" in called.out
    assert "lasts   at most 32 s a run, 2 runs" in called.out


def test_what_plan_picks_depends_on_the_seed_only(suite: Path) -> None:
    def picked(seed: int) -> list[str]:
        document = call("plan", suite / "backend-lost.chaos.yaml", "--seed", seed, "--json").document
        targets: list[str] = document["experiments"][0]["faults"][0]["targets"]
        return targets

    assert picked(1) == picked(1)
    assert len({tuple(picked(seed)) for seed in range(1, 12)}) == 2


def test_plan_and_run_agree(suite: Path) -> None:
    file = suite / "untouched.chaos.yaml"
    planned = call("plan", file, "--json").document["experiments"][0]["faults"][0]
    run = call("run", file, "--jobs", 1, "--json", "--reports", suite.parent / "reports").document
    (fault,) = run["experiments"][0]["faults"]
    assert (fault["name"], fault["targets"], fault["applied_at_s"]) == (
        planned["name"],
        planned["targets"],
        planned["at_s"],
    )


def test_list_of_experiments(suite: Path) -> None:
    called = call("list", suite)
    assert called.code == 0
    assert "backend-lost  Losing one backend never leaves a visit unanswered (" in called.out
    assert "faults" not in called.out
    listed = call("list", suite, "--json").document["experiments"]
    assert [(one["name"], one["tags"]) for one in listed] == [("backend-lost", ["shop"]), ("untouched", [])]


def test_list_of_what_there_is_to_write_with() -> None:
    document = call("list", "systems", "safeguards", "faults", "--json").document
    assert "experiments" not in document
    assert "crash" in document["faults"]
    assert all(fault["about"] for fault in document["faults"].values())
    names = [system["name"] for system in document["systems"]]
    assert "streaming" in names
    assert "player.failover" in document["safeguards"]["streaming"]
    text = call("list", "safeguards").out
    assert text.startswith("safeguards of ledger\n")
    assert "player.failover" in text


def test_list_of_an_own_system_shows_what_there_is_to_write_with() -> None:
    called = call("list", "tests.support.toy_system:system")
    assert called.code == 0
    for line in (
        "system toy",
        "  zones: east, west",
        "    backend  backend-east, backend-west",
        "  workload shoppers: clients of role shopper",
        "    groups: fast, slow",
        "      all    half of them fast, half slow",
        "    visits  t_s float, client text, zone text, group text, ok bool, latency_s float, "
        "source text or null, recorded_by text",
        "    gateway.fallback   a gateway answered without offers",
        "    latency  time does not run backwards",
        "safeguards of toy",
        "  gateway.retry     a visit succeeds although the backend of its zone is lost",
    ):
        assert line in called.out.splitlines()
    assert "streaming" not in called.out
    document = call("list", "tests.support.toy_system:system", "--json").document
    assert [system["name"] for system in document["systems"]] == ["toy"]
    assert list(document["safeguards"]) == ["toy"]


def test_list_of_an_installed_system_by_its_name() -> None:
    assert call("list", "streaming").out.startswith("system streaming\n")


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("nowhere:system", "No module named 'nowhere'"),
        ("tests.support.toy_system:sytem", "has no attribute 'sytem'"),
        ("tests.support.toy_system:shop", "it is a function; expected a harness.system.System"),
        ("tests.support.toy_system:shopper", "calling it fails: "),
        ("sytems", "did you mean 'systems'?"),
    ],
)
def test_list_of_a_system_that_is_not_there(word: str, said: str) -> None:
    called = call("list", word)
    assert (called.code, called.out) == (4, "")
    assert said in called.err


def test_list_of_faults_tells_each_parameter_with_its_unit_and_default() -> None:
    text = call("list", "faults").out
    assert "      delay      added to each one-way trip (duration, such as 200ms; needed)" in text
    assert "(duration, such as 200ms; 0s if not given)" in text
    assert "      status       the answer, 400 to 599 (whole number; 503 if not given)" in text
    assert "(share, such as 5%; 100% if not given)" in text
    faults = call("list", "faults", "--json").document["faults"]
    assert faults["loss"]["parameters"]["rate"]["needed"] is True
    assert faults["http-error"]["parameters"]["status"]["default"] == 503
    assert (faults["reset"]["takes_for"], faults["crash"]["takes_for"]) == (False, True)
    assert (faults["crash"]["on"], faults["latency"]["on"]) == ("nodes", "a link, or nodes and clients")


@pytest.mark.parametrize("of", [(), ("experiment",), ("slos",)])
def test_schema_is_json_schema(of: tuple[str, ...]) -> None:
    called = call("schema", *of)
    assert called.code == 0
    assert called.document["$schema"].startswith("https://json-schema.org/")


def test_schema_of_something_else() -> None:
    called = call("schema", "system")
    assert called.code == 4
    assert "experiment" in called.err
