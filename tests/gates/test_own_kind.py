"""A kind of gate of one's own, in one file: this one. It is registered, validated, run, judged and reported."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import ClassVar

import pytest

from harness.diagnostics import Diagnostic, unknown_name
from harness.gates import registry
from harness.gates.base import CheckContext, Gate, JudgeContext
from harness.gates.registry import GateKindError, gate_kind, gate_kinds
from harness.gates.result import GateResult, Verdict
from harness.history.read import History
from harness.history.table import literal
from tests.cli.support import BACKEND_LOST, call, write_suite


class RareGate(Gate):
    """The event is seen no more often than this in the whole run."""

    key: ClassVar = "rare"

    rare: str
    """The event that must be rare."""
    most: int
    """How often it may be seen."""

    @property
    def label(self) -> str:
        return f"rare {self.rare}"

    def check(self, context: CheckContext) -> Iterator[Diagnostic]:
        if context.system is not None and self.rare not in context.system.events:
            yield unknown_name("event", self.rare, context.system.events).below(("rare",))

    def judge(self, history: History, context: JudgeContext) -> Iterable[GateResult]:
        if self.most == -1:
            raise ZeroDivisionError("a defect of the gate")
        if self.most == -2:
            return
        ((count,),) = history.query(f"SELECT count(*) FROM events WHERE event = {literal(self.rare)}")
        yield GateResult(
            name=context.name,
            verdict=Verdict.PASSED if count <= self.most else Verdict.FAILED,
            reason=f"{self.rare} is seen {count} times, at most {self.most}",
            value=count,
            interval=None,
            threshold=self.most,
            unit="count",
            samples=count,
        )


class NotAGate:
    pass


class KeylessGate(Gate):
    """It has a key, but no field of that name."""

    key: ClassVar = "keyless"


@pytest.fixture
def kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kinds there are, so that what a test registers is gone after it."""
    monkeypatch.setattr(registry, "_KINDS", dict(gate_kinds()))


@pytest.fixture
def rare(kinds: None) -> None:
    gate_kind(RareGate)


def suite(directory: Path, gate: str) -> Path:
    text = BACKEND_LOST.split("gates:")[0] + f"gates:\n  - {gate}\ndrain: 20s\n"
    return write_suite(directory, backend_lost=text)


@pytest.mark.usefixtures("rare")
def test_it_is_validated(tmp_path: Path) -> None:
    assert call("validate", suite(tmp_path / "good", "{rare: gateway.retry, most: 5}")).code == 0
    wrong = call("validate", suite(tmp_path / "name", "{rare: gateway.retri, most: 5}"))
    assert wrong.code == 4
    assert "backend-lost.chaos.yaml:10:12: unknown event 'gateway.retri'" in wrong.err
    assert "did you mean 'gateway.retry'?" in wrong.err
    typed = call("validate", suite(tmp_path / "type", "{rare: gateway.retry, most: many}"))
    assert "backend-lost.chaos.yaml:10:33" in typed.err
    key = call("validate", suite(tmp_path / "key", "{rares: gateway.retry, most: 5}"))
    assert "did you mean 'rare'?" in key.err


@pytest.mark.usefixtures("rare")
def test_editors_and_lists_know_it() -> None:
    definition = call("schema", "experiment").document["$defs"]["gate:rare"]
    assert definition["properties"]["most"]["description"] == "How often it may be seen."
    listed = call("list", "gates", "--json").document["gates"]["rare"]
    assert listed["about"].startswith("The event is seen no more often than this")
    assert set(listed["keys"]) == {"name", "rare", "most"}


@pytest.mark.usefixtures("rare")
@pytest.mark.parametrize(("most", "verdict", "code"), [(10_000, "passed", 0), (0, "failed", 1)])
def test_it_is_run_judged_and_reported(tmp_path: Path, most: int, verdict: str, code: int) -> None:
    reports = tmp_path / "reports"
    gate = f"{{rare: gateway.retry, most: {most}}}"
    called = call("run", suite(tmp_path, gate), "--jobs", 1, "--reports", reports, "--json")
    assert called.code == code, called.err
    (experiment,) = called.document["experiments"]
    result = experiment["gates"][0]
    assert (result["name"], result["kind"], result["verdict"]) == ("rare gateway.retry", "rare", verdict)
    assert (result["threshold"], result["line"], result["samples"] > 0) == (most, 10, True)
    run = reports / "latest" / "backend-lost.seed1"
    assert "rare gateway.retry" in (run / "report.html").read_text(encoding="utf-8")
    judged = call("judge", run)
    assert judged.code == code
    assert "the same, byte for byte" in judged.out


@pytest.mark.usefixtures("rare")
def test_a_judgement_that_breaks_is_an_error(tmp_path: Path) -> None:
    gate = "{rare: gateway.retry, most: -1}"
    called = call("run", suite(tmp_path, gate), "--jobs", 1, "--reports", tmp_path / "reports", "--json")
    assert called.code == 3
    result = called.document["experiments"][0]["gates"][0]
    assert (result["verdict"], result["kind"]) == ("error", "rare")
    assert "ZeroDivisionError: a defect of the gate (tests/gates/test_own_kind.py:" in result["reason"]


@pytest.mark.usefixtures("rare")
def test_debugging_prints_the_traceback_of_a_judgement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_DEBUG", "1")
    gate = "{rare: gateway.retry, most: -1}"
    called = call("run", suite(tmp_path, gate), "--jobs", 1, "--reports", tmp_path / "reports", "--json")
    assert "Traceback (most recent call last)" in called.err
    assert __file__ in called.err


@pytest.mark.usefixtures("rare")
def test_a_judgement_without_a_result_is_inconclusive(tmp_path: Path) -> None:
    gate = "{rare: gateway.retry, most: -2}"
    called = call("run", suite(tmp_path, gate), "--jobs", 1, "--reports", tmp_path / "reports", "--json")
    assert called.code == 2
    result = called.document["experiments"][0]["gates"][0]
    assert (result["name"], result["verdict"]) == ("rare gateway.retry", "inconclusive")


def entry(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    point = EntryPoint(name, f"tests.gates.test_own_kind:{value}", registry.GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: [point] if group == registry.GROUP else [])
    registry._load.cache_clear()


@pytest.mark.usefixtures("kinds")
def test_it_is_found_by_its_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    built_in = set(gate_kinds())
    entry(monkeypatch, "rare", "RareGate")
    assert set(gate_kinds()) == {*built_in, "rare"}


@pytest.mark.usefixtures("kinds")
@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("rare", "NotAGate", "not a subclass"),
        ("seldom", "RareGate", "has the key 'rare'"),
        ("keyless", "KeylessGate", "a field of that name"),
    ],
)
def test_an_entry_point_that_is_no_kind(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    entry(monkeypatch, name, value)
    with pytest.raises(GateKindError, match=said):
        gate_kinds()


@pytest.mark.usefixtures("rare")
def test_a_key_belongs_to_one_kind() -> None:
    class Other(RareGate):
        """Another kind with the same key."""

    with pytest.raises(GateKindError, match="registered twice"):
        gate_kind(Other)
