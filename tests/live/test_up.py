"""`harness up` and `harness fault`: a system for a person, with faults from another terminal."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.cli.main import invoke
from harness.engine.up import ControlServer, Up, parse_fault
from harness.errors import UsageError
from harness.faults.primitives import Exposure, FaultFailed
from harness.live.cleanup import cleanup
from harness.live.run_lock import STATE_VARIABLE
from tests.support.toy_system import system

pytestmark = pytest.mark.live

TEXT = "fault: crash, target: {node: gateway-east}, for: 60s"
CRASH = "1: crash on gateway-east, until it is removed"
COMMAND = [sys.executable, "-m", "harness", "up", "tests.support.toy_system:system", "--arrive", "2/s"]


@pytest.fixture
def urls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """The toy system up, by node; ended with Ctrl-C, which leaves nothing and is no failure."""
    monkeypatch.setenv(STATE_VARIABLE, str(tmp_path))
    with subprocess.Popen(COMMAND, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            found = {}
            for line in process.stdout:
                if line.startswith("up in run-"):
                    break
                name, url = line.split()
                found[name] = url
            yield found
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 0
            *changes, last = process.stdout.read().splitlines()
            assert last == "ended; every fault is undone, nothing is left"
            assert [line.split("  ")[-1] for line in changes if "1: crash" in line] == [CRASH]
            done = cleanup(tmp_path)
            assert done.clean
            assert not done.cleaned
        finally:
            process.kill()


def get(url: str) -> int | str:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError as error:
        return type(getattr(error, "reason", error)).__name__


def fault(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = invoke(["fault", *arguments])
    captured = capsys.readouterr()
    return code, (captured.out + captured.err).strip()


def test_a_person_and_faults(urls: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    home = urls["gateway-east"] + "home"
    assert get(home) == 200
    assert fault(capsys, "list") == (0, "no fault is on")
    assert fault(capsys, "add", "fault: crash, target: {node: gateway-east}") == (0, CRASH)
    assert get(home) == "ConnectionRefusedError"
    assert fault(capsys, "add", "fault: http-error, target: {role: backend}, status: 500, for: 60s")[0] == 0
    first, second = fault(capsys, "list")[1].splitlines()
    assert first == CRASH
    assert re.fullmatch(
        r"2: http-error \(status 500\) on backend-east, backend-west, (59|60) s to go", second
    )
    code, said = fault(capsys, "remove", "1")
    assert code == 0
    assert said.startswith("1 is off: crash; it touched ")
    assert get(home) == 200  # from the gateway's fallback
    assert get(urls["backend-east"] + "offers") == 500
    assert fault(capsys, "remove", "1") == (4, "no fault 1 is on; on are 2")
    code, said = fault(capsys, "add", "fault: crash, target: {node: gateway-est}")
    assert code == 4
    assert "did you mean 'gateway-" in said
    code, said = fault(capsys, "add", "fault: reset, target: {link: {from: shopper, to: gateway}}")
    assert code == 0
    assert said.startswith("done: reset on ")
    assert fault(capsys, "list")[1].startswith("2: http-error")


def test_two_at_once(urls: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each in a directory of its own; a person says which one is meant."""
    (first,) = (path.parent.name for path in tmp_path.glob("run-*/control"))
    with subprocess.Popen(COMMAND, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        said = ""
        while not said.startswith("up in "):
            said = other.stdout.readline()
            assert said
        second = said.split()[2].rstrip(";")
        assert second != first
        code, told = fault(capsys, "list")
        assert code == 4
        assert "say which with --in" in told
        assert fault(capsys, "add", "fault: crash, target: {node: gateway-east}", "--in", first)[0] == 0
        assert fault(capsys, "list", "--in", second) == (0, "no fault is on")
        assert get(urls["gateway-east"] + "home") == "ConnectionRefusedError"
        other.send_signal(signal.SIGTERM)
        assert other.wait(10) == 0


def test_without_a_system_that_is_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(STATE_VARIABLE, str(tmp_path))
    code, said = fault(capsys, "list")
    assert code == 4
    assert said == "exactly one system must be up; up are none: 'harness up SYSTEM' brings one up"
    assert fault(capsys, "list", "--in", "run-99") == (4, "--in run-99: no system is up there; up are none")
    assert fault(capsys, "remove", "one")[0] == 4
    assert fault(capsys, "explode")[0] == 4


def test_it_can_be_a_system_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["up", "streeming"]) == 4
    assert "did you mean 'streaming'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("fault: explode", "unknown fault 'explode'; allowed: latency, bandwidth"),
        ("fault: crsh, target: {role: edge}", "did you mean 'crash'?"),
        ("crash", "'fault' is one of latency"),
        ("", "give a fault, for example"),
        ("fault: [", "YAML"),
        ("fault: crash, target: {node: a}, status: 3", "status"),
        ("fault: latency, target: {role: edge}, delay: 400", "400 needs a unit"),
        ("fault: crash, target: {role: edge}, at: 30s", "put on at once; remove 'at'"),
        ("fault: loss, target: {role: edge}, rate: 1%", "cannot drop packets"),
    ],
)
def test_what_is_wrong_with_a_fault_is_said(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse_fault(text)


def test_a_fault_lasts_as_long_as_it_says() -> None:
    assert parse_fault("fault: crash, target: {node: a}, for: 30s").lasts_s == 30
    assert parse_fault("{fault: crash, target: {node: a}}").lasts_s == 86_400
    assert parse_fault("fault: reset, target: {link: {from: a, to: b}}").lasts_s == 0


@dataclass
class Stuck:
    """A fault that can be taken off only when `free`."""

    free: bool = False

    async def undo(self) -> None:
        if not self.free:
            raise FaultFailed("the proxy server answered 500")

    def exposure(self) -> Exposure:
        return Exposure(connections=3)


class Standing:
    """As much of a session as the control_server needs."""

    def __init__(self, applied: Stuck) -> None:
        self.primitives = self
        self.clock = self
        self._applied = applied

    def now(self) -> float:
        return 1.0

    async def kill(self, _: str) -> Stuck:
        return self._applied


def test_a_fault_that_cannot_be_taken_off_stays_listed_and_can_be_tried_again() -> None:
    stuck, told = Stuck(), list[str]()
    up = Up("shop", system, 1, frozenset())

    async def body() -> None:
        board = ControlServer(Standing(stuck), up, told.append)  # type: ignore[arg-type]
        assert (await board._answer({"do": "add", "fault": "fault: crsh"})).keys() == {"problems"}
        (line,) = (await board._answer({"do": "add", "fault": TEXT}))["said"]
        assert line.startswith("1: crash on gateway-east")  # what was refused has used no number up
        (failed,) = (await board._answer({"do": "remove", "number": 1}))["failed"]
        assert (
            "STILL ON, at least in part: the proxy server answered 500; try again: harness fault remove 1"
            in failed
        )
        listed = await board._answer({"do": "list"})
        assert listed["said"] == [failed]
        (fault,) = listed["faults"]
        assert (fault["number"], fault["fault"], fault["targets"]) == (1, "crash", ["gateway-east"])
        assert fault["failed"] == "the proxy server answered 500"
        assert fault["exposure"]["connections"] == 3
        assert fault["left_s"] == 60
        stuck.free = True
        assert (await board._answer({"do": "remove", "number": 1}))["said"][0].startswith("1 is off")
        assert (await board._answer({"do": "list"}))["faults"] == []
        await board.undo_all()

    asyncio.run(body())
    assert failed_line(told)


def failed_line(told: list[str]) -> bool:
    """The person in the first terminal hears of it, too."""
    return any("STILL ON" in line for line in told)


def test_clients_that_never_come(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["up", "tests.support.toy_system:system", "--arrive", "0/s"]) == 4
    assert "brings nobody" in capsys.readouterr().err
