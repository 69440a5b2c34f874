"""Every fault of the catalogue: what it asks of the runtime, what it refuses, and that the docs name it."""

from __future__ import annotations

import asyncio
import pickle
import re
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
from pydantic import ValidationError

from harness.diagnostics import Code
from harness.faults import catalogue
from harness.faults.base import Fault, NodeFault
from harness.faults.catalogue import FAULTS, FaultModelError, name_of
from harness.faults.primitives import (
    Applied,
    Capability,
    EndpointMatch,
    HttpRule,
    LinkShape,
    PathMatch,
    Primitives,
    ResolvedTarget,
)
from tests.support.fake_primitives import FakePrimitives

EDGES = EndpointMatch(frozenset({"edge-1", "edge-2"}))
STORAGE = EndpointMatch(frozenset({"storage-1"}))
EVERYTHING = EndpointMatch(everything=True)
LINK = ResolvedTarget((), PathMatch(EDGES, STORAGE), ("edge > storage",))
NODES = ResolvedTarget(("edge-1", "edge-2"), PathMatch(EVERYTHING, EDGES), ("edge-1", "edge-2"))

PARAMETERS: dict[str, dict[str, Any]] = {
    "latency": {"delay": "200ms"},
    "bandwidth": {"rate": "1Mbps"},
    "loss": {"rate": "5%"},
    "restart": {"downtime": "5s"},
    "cpu-limit": {"cpu": "10%"},
    "http-delay": {"delay": "500ms"},
    "http-body": {"body": "cut"},
    "clock-skew": {"offset": "-5m", "drift": "1%"},
    "disk": {"error": "full"},
    "dns": {"answer": "wrong", "to": "storage"},
    "deploy": {"config": {"version": 2}, "downtime": "3s"},
}


def make(name: str, **given: Any) -> Fault:
    cls = FAULTS[name]
    fields: dict[str, Any] = {"fault": name, "at": "10s", "target": {"role": "edge"}}
    if not cls.instant:
        fields["for"] = "30s"
    return cls.model_validate(fields | PARAMETERS.get(name, {}) | given)


def calls(fault: Fault, target: ResolvedTarget) -> list[tuple[object, ...]]:
    primitives = FakePrimitives()
    asyncio.run(_apply_and_undo(fault, target, primitives))
    return [call for call in primitives.log if call[0] != "undo"]


async def _apply_and_undo(fault: Fault, target: ResolvedTarget, primitives: FakePrimitives) -> None:
    applied = await fault.apply(target, primitives)
    assert primitives.in_force
    await applied.undo()
    assert not primitives.in_force


PRIMITIVES = {
    "interfere": Capability.HTTP,
    "cpu_limit": Capability.CPU_LIMIT,
    "power_off": Capability.POWER_OFF,
}


def used(fault: Fault) -> set[Capability]:
    """What the primitives that a fault calls need."""
    found = set()
    for name, *arguments in calls(fault, NODES):
        found.add(PRIMITIVES.get(str(name)) or Capability(str(name)))
        for shape in arguments:
            if isinstance(shape, LinkShape):
                found |= {Capability.SHAPE_LOSS} if shape.loss else set()
                found |= {Capability.SHARED_RATE} if shape.shared else set()
    # Undoing a kill or a loss of power starts the node again.
    return found | ({Capability.START} if found & {Capability.KILL, Capability.POWER_OFF} else set())


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_says_what_it_needs(name: str) -> None:
    assert make(name).needed() == used(make(name))


def test_a_shared_rate_is_needed_where_it_is_written() -> None:
    shared = make("bandwidth", shared=True)
    assert shared.needed() == used(shared) == {Capability.SHAPE, Capability.SHARED_RATE}
    assert make("bandwidth").needed() == {Capability.SHAPE}


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_has_a_docstring_and_can_cross_to_a_worker_process(name: str) -> None:
    assert FAULTS[name].__doc__
    fault = make(name)
    assert pickle.loads(pickle.dumps(fault)) == fault
    assert name_of(FAULTS[name]) == name == fault.fault


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_and_every_parameter_is_in_the_documentation(name: str) -> None:
    page = (Path(__file__).parents[2] / "docs" / "faults.md").read_text(encoding="utf-8")
    row = next((line for line in page.splitlines() if line.startswith(f"| `{name}` |")), None)
    assert row is not None, f"docs/faults.md has no row for {name}"
    documented = set(re.findall(r"`([a-z_]+)`", row.split("|")[2]))
    assert documented == set(make(name).parameters())


def test_the_documentation_names_no_fault_that_is_not_there() -> None:
    page = (Path(__file__).parents[2] / "docs" / "faults.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `([a-z-]+)` \|", page, re.M)) == set(FAULTS)


@pytest.mark.parametrize(
    ("direction", "paths"),
    [
        ("both", [LINK.path, LINK.path.reversed()]),
        ("to", [LINK.path]),
        ("from", [LINK.path.reversed()]),
    ],
)
def test_link_faults_act_in_the_direction_asked_for(direction: str, paths: list[PathMatch]) -> None:
    assert calls(make("partition", direction=direction), LINK) == [("cut", path) for path in paths]
    shape = LinkShape(latency_s=0.2, jitter_s=0.05)
    latency = make("latency", direction=direction, jitter="50ms")
    assert calls(latency, LINK) == [("shape", path, shape) for path in paths]


def test_between_hosts_of_one_set_both_directions_are_the_same_traffic_and_delayed_once() -> None:
    among = ResolvedTarget((), PathMatch(EDGES, EDGES), ("edge > edge",))
    assert len(calls(make("latency"), among)) == 1


def test_a_link_fault_on_hosts_means_all_their_traffic() -> None:
    assert calls(make("partition"), NODES) == [
        ("cut", PathMatch(EVERYTHING, EDGES)),
        ("cut", PathMatch(EDGES, EVERYTHING)),
    ]


def test_shapes_carry_their_parameters_in_base_units() -> None:
    assert [call[2] for call in calls(make("bandwidth", shared=True, direction="to"), LINK)] == [
        LinkShape(bandwidth_bps=1e6, shared=True)
    ]
    assert [call[2] for call in calls(make("loss", direction="to"), LINK)] == [LinkShape(loss=0.05)]


def test_http_faults_reach_every_node_with_their_rule() -> None:
    error = make("http-error", route="/home*", method="GET", status=500, probability="25%")
    rule = HttpRule(route="/home*", method="GET", status=500, probability=0.25)
    assert calls(error, NODES) == [("interfere", node, rule) for node in NODES.nodes]
    delay = calls(make("http-delay"), NODES)
    assert delay == [("interfere", node, HttpRule(delay_s=0.5)) for node in NODES.nodes]


def test_how_long_each_lasts() -> None:
    assert (make("crash").lasts_s, make("crash").ends_s) == (30, 40)
    assert (make("reset").lasts_s, make("reset").ends_s) == (0, 10)
    assert (make("restart").lasts_s, make("restart").ends_s) == (5, 15)


@pytest.mark.parametrize(
    ("name", "given", "code"),
    [
        ("crash", {"for": None}, Code.MISSING_KEY),
        ("crash", {"for": "0s"}, Code.OUT_OF_RANGE),
        ("crash", {"target": {"link": {"from": "a", "to": "b"}}}, Code.CONFLICT),
        ("reset", {"for": "5s"}, Code.CONFLICT),
        ("restart", {"for": "5s"}, Code.CONFLICT),
        ("restart", {"downtime": "0s"}, Code.OUT_OF_RANGE),
        ("loss", {"rate": "100%"}, Code.OUT_OF_RANGE),
        ("loss", {"rate": "0%"}, Code.OUT_OF_RANGE),
        ("latency", {"delay": "0ms"}, Code.OUT_OF_RANGE),
        ("latency", {"jitter": "300ms"}, Code.CONFLICT),
        ("bandwidth", {"rate": "0bps"}, Code.OUT_OF_RANGE),
        ("http-error", {"status": 200}, Code.OUT_OF_RANGE),
        ("http-error", {"probability": "0%"}, Code.OUT_OF_RANGE),
        ("http-error", {"probability": "120%"}, Code.OUT_OF_RANGE),
        ("http-error", {"route": "home"}, Code.BAD_VALUE),
        ("cpu-limit", {"cpu": "100%"}, Code.OUT_OF_RANGE),
        ("latency", {"delay": "200"}, Code.BAD_UNIT),
    ],
)
def test_values_out_of_range_are_refused(name: str, given: dict[str, Any], code: Code) -> None:
    with pytest.raises(ValidationError) as caught:
        make(name, **given)
    (error,) = caught.value.errors()
    assert error["ctx"]["error"].diagnostic.code is code


@pytest.mark.parametrize(
    ("name", "given", "kind"),
    [
        ("http-delay", {"method": "GRAB"}, "literal_error"),
        ("partition", {"direction": "out"}, "literal_error"),
        ("partition", {"rate": "5%"}, "extra_forbidden"),
    ],
)
def test_words_and_keys_that_are_not_allowed_are_refused(name: str, given: dict[str, Any], kind: str) -> None:
    with pytest.raises(ValidationError) as caught:
        make(name, **given)
    assert [error["type"] for error in caught.value.errors()] == [kind]


class BrownOut(NodeFault):
    """A user's own: half the nodes' answers are errors."""

    needs: ClassVar[frozenset[Capability]] = frozenset({Capability.HTTP})
    fault: Literal["brown-out"] = "brown-out"

    async def apply(self, target: ResolvedTarget, primitives: Primitives) -> Applied:
        return await primitives.interfere(target.nodes[0], HttpRule(status=503, probability=0.5))


class SecondCrash(NodeFault):
    """A user's own fault under a name that is taken."""

    needs: ClassVar[frozenset[Capability]] = frozenset()
    fault: Literal["crash"] = "crash"


def _entry(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    point = EntryPoint(name, f"tests.faults.test_catalogue:{value}", "harness.faults")
    monkeypatch.setattr("harness.faults.catalogue.entry_points", lambda group: [point])


def test_a_users_own_fault_is_found_by_its_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    _entry(monkeypatch, "brown-out", "BrownOut")
    found = catalogue.catalogue()
    assert found["brown-out"].__name__ == "BrownOut"
    assert set(found) == {*FAULTS, "brown-out"}


@pytest.mark.parametrize(
    ("name", "value", "part"),
    [
        ("crash", "SecondCrash", "is a duplicate"),
        ("brown-in", "BrownOut", "is named 'brown-out'"),
        ("brown-out", "make", "not a subclass"),
    ],
)
def test_a_broken_entry_point_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, part: str
) -> None:
    _entry(monkeypatch, name, value)
    with pytest.raises(FaultModelError, match=part):
        catalogue.catalogue()
