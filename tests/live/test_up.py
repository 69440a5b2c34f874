"""`harness up` and `harness fault`: a system for a person, with faults from another terminal."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.cli.main import invoke
from harness.live.cleanup import cleanup
from harness.live.run_lock import STATE_VARIABLE

pytestmark = pytest.mark.live

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
            assert last.startswith("ended; ")
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
    assert fault(capsys, "list") == (0, "no fault is applied")
    assert fault(capsys, "add", "fault: crash, target: {node: gateway-east}") == (0, CRASH)
    assert get(home) == "ConnectionRefusedError"
    assert fault(capsys, "add", "fault: http-error, target: {role: backend}, status: 500, for: 60s")[0] == 0
    first, second = fault(capsys, "list")[1].splitlines()
    assert first == CRASH
    assert re.fullmatch(r"2: http-error \(status 500\) on backend-east, backend-west, (59|60) s left", second)
    code, said = fault(capsys, "remove", "1")
    assert code == 0
    assert said.startswith("1 removed: crash; affected ")
    assert get(home) == 200  # from the gateway's fallback
    assert get(urls["backend-east"] + "offers") == 500
    assert fault(capsys, "remove", "1") == (4, "no fault 1 is applied; applied: 2")
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
        assert "--in" in told
        assert fault(capsys, "add", "fault: crash, target: {node: gateway-east}", "--in", first)[0] == 0
        assert fault(capsys, "list", "--in", second) == (0, "no fault is applied")
        assert get(urls["gateway-east"] + "home") == "ConnectionRefusedError"
        other.send_signal(signal.SIGTERM)
        assert other.wait(10) == 0


def test_without_a_system_that_is_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(STATE_VARIABLE, str(tmp_path))
    code, said = fault(capsys, "list")
    assert code == 4
    assert "harness up SYSTEM" in said
    assert fault(capsys, "list", "--in", "run-99") == (4, "--in run-99: no system is up there; up: none")
    assert fault(capsys, "remove", "one")[0] == 4
    assert fault(capsys, "explode")[0] == 4


def test_it_can_be_a_system_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["up", "streeming"]) == 4
    assert "did you mean 'streaming'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "about"),
    [(["--arrive", "0/s"], "--arrive 0/s: must be > 0/s"), (["--network", "kernel"], "cannot be reached")],
)
def test_what_makes_no_sense(options: list[str], about: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["up", "tests.support.toy_system:system", *options]) == 4
    assert about in capsys.readouterr().err
