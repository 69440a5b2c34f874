"""What a runtime cannot do: every command gives the same answer, at the fault's line, before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.support import UNTOUCHED, call, write_suite

LOSS = UNTOUCHED.replace("fault: latency, delay: 1s", "fault: loss, rate: 5%")
NO_LOSS = "untouched.chaos.yaml:7:30: loss: a proxy cannot drop packets"


def lines(suite: Path, command: str, *more: object) -> list[str]:
    reports = ("--reports", suite / "reports") if command in ("run", "parity") else ()
    called = call(command, suite, *more, *reports)
    assert (called.code, called.out) == (4, "")
    assert not (suite / "reports" / "latest").exists()
    return called.err.splitlines()


@pytest.mark.parametrize("command", ["validate", "plan", "run"])
def test_a_proxy_cannot_lose_packets(command: str, tmp_path: Path) -> None:
    suite = write_suite(tmp_path, untouched=LOSS)
    (line,) = lines(suite, command, "--runtime", "live")
    assert NO_LOSS in line
    assert call("validate", suite).code == 0
    assert lines(suite, "parity") == [line]


def test_an_experiment_that_is_made_for_a_runtime_is_held_against_that(tmp_path: Path) -> None:
    suite = write_suite(tmp_path, untouched=LOSS.replace("system:", "runtime: live\nsystem:", 1))
    (line,) = lines(suite, "validate")
    assert ":8:30: loss: a proxy cannot drop packets" in line
    # It is left out of runs in virtual time, so that it is nobody's mistake there.
    assert call("run", suite).code == 5


@pytest.mark.parametrize(
    ("written", "about"),
    [("runtime: lives", "unknown runtime 'lives'"), ("runtime: [live]", "list"), ("runtime: 1", "runtime")],
)
def test_a_runtime_that_is_not_there_is_a_mistake(written: str, about: str, tmp_path: Path) -> None:
    suite = write_suite(tmp_path, untouched=UNTOUCHED.replace("system:", f"{written}\nsystem:", 1))
    (line,) = lines(suite, "validate")
    assert ":3:10: " in line
    assert about in line
