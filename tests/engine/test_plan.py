"""What a plan settles, and that it depends on nothing but the experiment and the seed."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.diagnostics import Code
from harness.engine.plan import MAIN, make_plan
from harness.engine.targets import TargetError, resolve
from harness.errors import UsageError
from harness.experiment.model import Target
from tests.engine.support import CRASH, experiment_text, load
from tests.support.toy_system import system

PICK = "- {at: 8s, for: 4s, fault: crash, target: {role: backend, pick: 1}}"


def test_a_plan_has_the_experiment_first_and_then_its_arms(tmp_path: Path) -> None:
    (loaded,) = load(tmp_path, experiment_text())
    planned = make_plan(loaded, 1, ["gateway.fallback"])
    main, arm = planned.arms
    assert (main.name, main.arm, main.without) == (MAIN, None, frozenset({"gateway.fallback"}))
    assert arm.name == "without gateway.retry, gateway.fallback"
    assert arm.without == {"gateway.retry", "gateway.fallback"}
    assert planned.without == ("gateway.fallback",)
    (crash,) = planned.faults
    assert (crash.at_s, crash.until_s, crash.target.nodes) == (8, 16, ("backend-east",))
    assert (planned.load_s, planned.duration_s) == (20, 40)


def test_what_is_picked_depends_on_the_seed_and_on_nothing_else(tmp_path: Path) -> None:
    (loaded,) = load(tmp_path, experiment_text(timeline=PICK))
    picked = {seed: make_plan(loaded, seed).faults[0].target.nodes for seed in range(20)}
    assert picked == {seed: make_plan(loaded, seed).faults[0].target.nodes for seed in range(20)}
    assert set(picked.values()) == {("backend-east",), ("backend-west",)}


def test_every_fault_draws_for_itself(tmp_path: Path) -> None:
    (loaded,) = load(tmp_path, experiment_text(timeline=f"{PICK}\n{PICK}"))
    pairs = {tuple(fault.target.nodes for fault in make_plan(loaded, seed).faults) for seed in range(30)}
    assert len(pairs) == 4
    (alone,) = load(tmp_path / "alone", experiment_text(timeline=PICK))
    for seed in range(10):
        assert make_plan(alone, seed).faults[0].target == make_plan(loaded, seed).faults[0].target


def test_faults_have_names_of_their_own(tmp_path: Path) -> None:
    timeline = "\n".join([CRASH, PICK, CRASH.replace("{at: 8s, for: 8s", "{name: crash-1, at: 17s, for: 2s")])
    (loaded,) = load(tmp_path, experiment_text(timeline=timeline))
    assert [fault.name for fault in make_plan(loaded, 1).faults] == ["crash-2", "crash-3", "crash-1"]


def test_unknown_safeguards_are_all_named(tmp_path: Path) -> None:
    (loaded,) = load(tmp_path, experiment_text())
    with pytest.raises(UsageError) as raised:
        make_plan(loaded, 1, ["gateway.retries", "nonsense"])
    assert [one.code for one in raised.value.diagnostics] == [Code.UNKNOWN_NAME] * 2
    assert str(raised.value.diagnostics[0]).endswith(
        "unknown safeguard 'gateway.retries' in system toy; allowed: gateway.retry, gateway.fallback; "
        "did you mean 'gateway.retry'?"
    )


def target(**given: object) -> Target:
    return Target.model_validate(given)


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ({"role": "backend"}, ("backend-east", "backend-west")),
        ({"role": "backend", "zone": "west"}, ("backend-west",)),
        ({"zone": "east"}, ("gateway-east", "backend-east", "clients in east")),
        ({"node": "gateway-west"}, ("gateway-west",)),
        ({"role": "shopper"}, ("shopper",)),
        ({"group": "slow", "zone": "east"}, ("slow in east",)),
        ({"role": "backend", "pick": "50%"}, None),
        ({"role": "backend", "pick": 2}, ("backend-east", "backend-west")),
        ({"link": {"from": "shopper", "to": "gateway"}}, ("shopper > gateway-east, gateway-west",)),
        (
            {"link": {"from": {"group": "slow"}, "to": {"zone": "west", "role": "gateway"}}},
            ("slow > gateway-west",),
        ),
    ],
)
def test_what_selectors_mean(selector: dict[str, object], names: tuple[str, ...] | None) -> None:
    found = resolve(target(**selector), system, 1, 0)
    assert len(found.names) == 1 if names is None else found.names == names


@pytest.mark.parametrize(
    ("selector", "code", "path"),
    [
        ({}, Code.EMPTY, ()),
        ({"role": "backnd"}, Code.UNKNOWN_NAME, ("role",)),
        ({"zone": "north"}, Code.UNKNOWN_NAME, ("zone",)),
        ({"node": "gateway-north"}, Code.UNKNOWN_NAME, ("node",)),
        ({"group": "medium"}, Code.UNKNOWN_NAME, ("group",)),
        ({"role": "gateway", "group": "slow"}, Code.NO_MATCH, ()),
        ({"role": "backend", "pick": 3}, Code.NO_MATCH, ("pick",)),
        ({"role": "backend", "pick": 0}, Code.BAD_VALUE, ("pick",)),
        ({"role": "backend", "pick": "150%"}, Code.BAD_VALUE, ("pick",)),
        ({"role": "shopper", "pick": 1}, Code.NO_MATCH, ("pick",)),
        ({"link": {"from": "shopper", "to": "gatway"}}, Code.UNKNOWN_NAME, ("link", "to", "role")),
        ({"role": "gateway", "link": {"from": "shopper", "to": "gateway"}}, Code.CONFLICT, ("role",)),
    ],
)
def test_selectors_that_match_nothing_are_refused(
    selector: dict[str, object], code: Code, path: tuple[str, ...]
) -> None:
    with pytest.raises(TargetError) as raised:
        resolve(target(**selector), system, 1, 0)
    assert [(one.code, one.path) for one in raised.value.diagnostics] == [(code, path)]


def test_a_fault_on_nodes_needs_servers() -> None:
    assert resolve(target(zone="east"), system, 1, 0, nodes_only=True).names == (
        "gateway-east",
        "backend-east",
    )
    with pytest.raises(TargetError) as raised:
        resolve(target(role="shopper"), system, 1, 0, nodes_only=True)
    assert [one.code for one in raised.value.diagnostics] == [Code.NO_MATCH]


@given(seed=st.integers(), index=st.integers(0, 50), pick=st.integers(1, 4))
def test_a_pick_draws_that_many_of_what_fits(seed: int, index: int, pick: int) -> None:
    found = resolve(target(zone="east", pick=min(pick, 2)), system, seed, index)
    assert len(found.nodes) == min(pick, 2)
    assert set(found.nodes) <= {"gateway-east", "backend-east"}
    assert found.path.dst.nodes == frozenset(found.nodes)
    assert found.path.dst.clients is None
