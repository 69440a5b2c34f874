"""Linearizability of a register: the checker against brute force, and the gate on a recorded run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import permutations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.gates.base import CheckContext
from harness.gates.judge import judge_gates
from harness.gates.linearizable import LinearizableGate
from harness.gates.result import Verdict
from harness.history.read import History
from harness.history.write import tables
from harness.runtime.contract import Recorded
from harness.sli.linearizability import Operation, is_linearizable
from harness.system import find_system
from tests.history.support import environment
from tests.verdict.support import METADATA, SYSTEM

OPERATIONS = st.builds(
    lambda begin, length, is_read, value, is_certain: Operation(
        begin, begin + length, is_read, value, is_certain
    ),
    st.integers(0, 6),
    st.integers(0, 4),
    st.booleans(),
    st.sampled_from((None, "a", "b")),
    st.sampled_from((True, True, True, False)),
)


def explained(operations: Sequence[Operation]) -> bool:
    """Brute force: every choice of the uncertain writes that took effect, in every order."""
    certain = [one for one in operations if one.is_certain]
    uncertain = [replace(one, end_s=1e9) for one in operations if not one.is_certain and not one.is_read]
    for chosen in product((True, False), repeat=len(uncertain)):
        happened = certain + [one for one, took in zip(uncertain, chosen, strict=True) if took]
        if any(is_sequential(order) for order in permutations(happened)):
            return True
    return False


def is_sequential(order: Sequence[Operation]) -> bool:
    value: object = None
    for index, one in enumerate(order):
        if any(later.end_s < one.begin_s for later in order[index + 1 :]):
            return False
        if one.is_read and one.value != value:
            return False
        value = value if one.is_read else one.value
    return True


@settings(max_examples=150, deadline=None)
@given(st.lists(OPERATIONS, max_size=5))
def test_it_agrees_with_brute_force(operations: list[Operation]) -> None:
    assert is_linearizable(operations) is explained(operations)


def write(value: str, begin_s: float, end_s: float, **more: bool) -> Operation:
    return Operation(begin_s, end_s, False, value, **more)


def read(value: str | None, begin_s: float, end_s: float) -> Operation:
    return Operation(begin_s, end_s, True, value)


@pytest.mark.parametrize(
    ("operations", "expected"),
    [
        ([], True),
        ([write("a", 0, 1), read("a", 2, 3)], True),
        ([write("a", 0, 1), read(None, 2, 3)], False),  # stale
        ([write("a", 0, 3), read(None, 1, 2)], True),  # concurrent: either
        ([write("a", 0, 9), read("a", 1, 2), read(None, 3, 4)], False),  # once seen, always seen
        ([write("a", 0, 1), write("b", 2, 3, is_certain=False), read("a", 4, 5)], True),  # it never came
        ([write("b", 2, 3, is_certain=False), read("b", 8, 9)], True),  # it came late
    ],
)
def test_classic_histories(operations: list[Operation], expected: bool) -> None:
    assert is_linearizable(operations) is expected


def test_too_many_orders_are_undecided() -> None:
    many = [write(str(number), 0, 10) for number in range(12)]
    assert is_linearizable([*many, read("nothing", 11, 12)], max_states=500) is None


@dataclass(frozen=True, slots=True)
class Access:
    t_s: float
    kind: str
    account: str
    value: str | None
    began_at_s: float | None
    ok: bool = True


SOUND = (
    Access(1.0, "write", "one", "5", 0.5),
    Access(2.0, "read", "one", "5", 1.5),
    Access(2.0, "read", "two", None, 1.5),
)


@pytest.mark.parametrize(
    ("rows", "verdict"),
    [
        ((), Verdict.PASSED),
        ((Access(4.0, "read", "two", "5", 3.0),), Verdict.FAILED),
        (
            (Access(4.0, "write", "two", "5", 3.0, ok=False), Access(9.0, "read", "two", "5", 8.0)),
            Verdict.PASSED,
        ),
        ((Access(4.0, "read", "two", "5", 3.0, ok=False),), Verdict.PASSED),
        ((Access(4.0, "read", "two", None, None),), Verdict.INCONCLUSIVE),
    ],
)
def test_the_gate_judges_each_register_by_itself(rows: tuple[Access, ...], verdict: Verdict) -> None:
    system = replace(SYSTEM, tables={"accesses": Access})
    records = [Recorded(row.t_s, "host", row) for row in (*SOUND, *rows)]
    gate = LinearizableGate(linearizable="accesses", by="account")
    with History.in_memory(tables(system, records), METADATA, environment()) as history:
        (result,) = judge_gates((gate,), history, {})
    assert (result.verdict, result.samples) == (verdict, 3 + len(rows))
    with History.in_memory(tables(system, []), METADATA, environment()) as history:
        (nothing,) = judge_gates((gate,), history, {})
    assert nothing.verdict is Verdict.INCONCLUSIVE


def test_its_expressions_are_checked() -> None:
    system = find_system("tests.support.toy_system:system")
    gate = LinearizableGate(linearizable="visits", read="ok", value="source", began="t_s - latency_s")
    context = CheckContext(system, {}, None, None)
    assert list(gate.check(context)) == []
    wrong = [
        (gate.model_copy(update={"linearizable": "vists"}), ("linearizable",)),
        (gate.model_copy(update={"read": "latency_s"}), ("read",)),
        (gate.model_copy(update={"value": "worth"}), ("value",)),
        (gate.model_copy(update={"began": "source"}), ("began",)),
    ]
    for one, path in wrong:
        (problem,) = one.check(context)
        assert problem.path == path
