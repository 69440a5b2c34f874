"""Where there can be no kernel network: refused before anything starts, with every reason; and what doctor says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.cli.main import invoke
from harness.errors import HarnessError
from harness.live.kernel import nft, probe
from harness.live.kernel.probe import Finding, missing
from harness.live.run_lock import STATE_VARIABLE
from tests.live.support import require_kernel
from tests.live.test_run import EXPERIMENT, SLOS

pytestmark = pytest.mark.live


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(STATE_VARIABLE, str(tmp_path / "state"))
    (tmp_path / "slos.yaml").write_text(SLOS)
    (tmp_path / "lossy.chaos.yaml").write_text(EXPERIMENT.replace("crash,", "loss, rate: 1%,"))
    return tmp_path


def ran(directory: Path, *more: str) -> list[str]:
    return ["run", str(directory / "lossy.chaos.yaml"), "--reports", str(directory / "reports"), *more]


def test_a_machine_without_it_refuses_with_every_reason(
    directory: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nft, "LIBRARY", "libnftables.so.none")
    nft.library.cache_clear()
    monkeypatch.setattr(probe, "_REQUIREMENTS", (("privileges", _no_privileges), *probe._REQUIREMENTS[1:]))
    try:
        assert invoke(ran(directory, "--runtime", "live", "--network", "kernel")) == 4
    finally:
        nft.library.cache_clear()
    said = capsys.readouterr().err
    assert "--network kernel: privileges: " in said
    assert "--network kernel: nft: libnftables.so.none " in said
    assert "make live-deps" in said
    assert not (directory / "state").exists()
    assert not (directory / "reports" / "latest").exists()


def _no_privileges() -> str:
    raise HarnessError("needs root (CAP_NET_ADMIN and CAP_SYS_ADMIN); this is user 1000")


def test_without_capabilities(tmp_path: Path) -> None:
    """For real: a process that has dropped them."""
    require_kernel()
    found = subprocess.run(
        [sys.executable, "-c", DROPPED], capture_output=True, text=True, check=True, cwd=Path.cwd()
    )
    assert json.loads(found.stdout) == [
        f"privileges: needs root (CAP_NET_ADMIN and CAP_SYS_ADMIN); this is user {os.getuid()}"
    ]


DROPPED = """
import ctypes, json
from harness.live.kernel.probe import missing
class Header(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]
header, none = Header(0x20080522, 0), (ctypes.c_uint32 * 6)()  # capset(2), version 3
assert ctypes.CDLL(None).capset(ctypes.byref(header), none) == 0
print(json.dumps(missing()))
"""


def test_unknown_networks_and_virtual_time(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(ran(directory, "--runtime", "live", "--network", "kernal")) == 4
    assert "--network kernal: " in capsys.readouterr().err
    assert invoke(ran(directory, "--network", "kernel")) == 4
    assert "--runtime live" in capsys.readouterr().err
    assert invoke(ran(directory, "--runtime", "live")) == 4
    assert "--network kernel" in capsys.readouterr().err


def test_what_is_missing_is_what_was_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        probe, "probe", lambda: (Finding("a", True, "there"), Finding("b", False, "not there"))
    )
    assert missing() == ("b: not there",)


def test_rules_that_the_kernel_does_not_take_are_refused_with_its_words() -> None:
    """And nothing of them is in force; what comes next is taken."""
    require_kernel()
    code = """
import os
os.unshare(os.CLONE_NEWNET)
from harness.live.kernel.nft import Nft, NftError
rules = Nft()
try:
    rules.run("table ip a { }\\nadd rule ip a nowhere drop")
except NftError as error:
    print(error)
rules.run("add table ip b\\nadd counter ip b c")
print(rules.run("list tables"), rules.list("counter", "ip b", "c")[0]["packets"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "No such file or directory" in done.stdout
    assert '"name": "b"' in done.stdout
    assert '"name": "a"' not in done.stdout
    assert done.stdout.endswith(" 0\n")


def test_a_live_run_over_the_kernel_network(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The whole way: an experiment that needs it, to a verdict and to the command that has it again."""
    require_kernel()
    file = directory / "lossy.chaos.yaml"
    file.write_text(
        EXPERIMENT.replace("backend-killed", "lossy")
        .replace(
            "fault: crash, target: {node: backend-east}",
            "fault: loss, target: {role: gateway}, rate: 40%",
        )
        .replace("  - {event: gateway.retry, within: 2s, of: fault}\n", "")
        .replace("90%", "50%")
    )
    assert invoke(ran(directory, "--runtime", "live", "--network", "kernel", "--json")) == 0
    (result,) = json.loads(capsys.readouterr().out)["experiments"]
    assert result["verdict"] == "passed"
    (fault,) = result["faults"]
    assert fault["exposure"]["connections"] > 0
    assert fault["exposure"]["bytes"] > 0
    (run,) = (directory / "reports" / "latest").glob("*.seed1")
    assert json.loads((run / "environment.json").read_text())["arguments"] == ["--network", "kernel"]
    assert result["replay"].endswith("--runtime live --network kernel --seed 1")
