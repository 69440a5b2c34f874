"""A fault in one line: parsed, checked and resolved, or refused with the reason."""

from __future__ import annotations

import pytest

from harness.diagnostics import Code
from harness.engine.single_fault import SingleFaults
from harness.errors import InvalidInput, UsageError
from harness.live.options import LiveOptions
from tests.support.toy_system import system

FAULTS = SingleFaults(system, 1, LiveOptions().capabilities())
NODE = "target: {node: backend-east}"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("fault: explode", Code.UNKNOWN_NAME),
        (f"fault: crsh, {NODE}", Code.UNKNOWN_NAME),
        ("crash", Code.MISSING_KEY),
        ("", Code.BAD_REQUEST),
        ("fault: [", Code.SYNTAX),
        (f"fault: crash, {NODE}, status: 3", Code.UNKNOWN_KEY),
        (f"fault: latency, {NODE}, delay: 400", None),
        (f"fault: crash, {NODE}, at: 30s", Code.BAD_REQUEST),
        (f"fault: loss, {NODE}, rate: 1%", Code.BAD_REQUEST),
    ],
)
def test_what_is_wrong_has_its_code_and_no_position(text: str, code: Code | None) -> None:
    with pytest.raises(UsageError) as raised:
        FAULTS.make(text, 1)
    assert code in (None, *(one.code for one in raised.value.diagnostics))
    assert not any(one.file or one.line for one in raised.value.diagnostics)


def test_a_target_that_is_not_there_is_refused() -> None:
    with pytest.raises(InvalidInput, match="did you mean 'backend-"):
        FAULTS.make("fault: crash, target: {node: backend-est}", 1)


def test_everything_that_is_wrong_is_reported_at_once() -> None:
    with pytest.raises(UsageError) as raised:
        FAULTS.make("fault: latncy, delay: 40, at: 3s, target: {link: {from: gatway, to: backend}}", 1)
    found = sorted(one.code for one in raised.value.diagnostics)
    assert found == sorted([Code.UNKNOWN_NAME, Code.BAD_UNIT, Code.BAD_REQUEST, Code.UNKNOWN_NAME])
    with pytest.raises(UsageError) as raised:
        FAULTS.make(f"fault: crsh, {NODE}", 1)
    assert [one.code for one in raised.value.diagnostics] == [Code.UNKNOWN_NAME]


def test_a_fault_lasts_as_long_as_it_says() -> None:
    def lasts_s(text: str) -> float:
        return FAULTS.make(text, 1)[0].lasts_s

    assert lasts_s(f"fault: crash, {NODE}, for: 30s") == 30
    assert lasts_s(f"{{fault: crash, {NODE}}}") == 86_400
    assert lasts_s("fault: reset, target: {link: {from: gateway, to: backend}}") == 0


def test_the_target_is_resolved() -> None:
    fault, target = FAULTS.make("fault: crash, target: {role: backend}", 1)
    assert fault.fault == "crash"
    assert target.nodes == ("backend-east", "backend-west")
