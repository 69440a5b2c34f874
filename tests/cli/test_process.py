"""The command as a process of its own: start-up, signals, file descriptors, what is left on stderr."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.support import BROKEN, UNTOUCHED, write_suite

ROOT = Path(__file__).parents[2]
HARNESS = (sys.executable, "-m", "harness")

NOISY = """\
import os

from dataclasses import replace

from tests.support import toy_system


async def backend(host):
    print("a service that prints")
    os.write(1, b"and one that writes to the descriptor\\n")
    await toy_system.backend(host)


_toy = toy_system.system
_nodes = tuple(
    replace(node, service=backend) if node.role == "backend" else node for node in _toy.topology.nodes
)
system = replace(_toy, name="noisy", topology=replace(_toy.topology, nodes=_nodes))
"""


def environment(*more: Path) -> dict[str, str]:
    paths = os.pathsep.join(str(path) for path in (*more, ROOT))
    return {**os.environ, "PYTHONPATH": paths, "COLUMNS": "120"}


def harness(
    *arguments: object, cwd: Path = ROOT, path: tuple[Path, ...] = ()
) -> subprocess.CompletedProcess[str]:
    command = [*HARNESS, *map(str, arguments)]
    return subprocess.run(
        command, cwd=cwd, env=environment(*path), capture_output=True, text=True, check=False, timeout=100
    )


HEAVY = ("aiohttp", "duckdb", "jinja2", "numpy", "pydantic", "scipy", "yaml")


def test_help_imports_nothing_heavy() -> None:
    """That is what keeps it quick; `make bench` measures it."""
    code = (
        "import json, sys; from harness.cli.main import invoke; invoke(['--help']); "
        "print(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, check=True, timeout=60
    )
    assert set(json.loads(done.stderr)) & set(HEAVY) == set()


def test_mistakes_leave_nothing_else_on_stderr(tmp_path: Path) -> None:
    done = harness("validate", write_suite(tmp_path, broken=BROKEN))
    assert done.returncode == 4
    assert [line.split(".chaos.yaml:")[1][:4] for line in done.stderr.splitlines()] == [
        "5:22",
        "5:40",
        "7:10",
    ]


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_a_service_prints_does_not_spoil_the_document(jobs: int, tmp_path: Path) -> None:
    (tmp_path / "noisy_system.py").write_text(NOISY, encoding="utf-8")
    text = UNTOUCHED.replace("tests.support.toy_system:system", "noisy_system:system")
    suite = write_suite(tmp_path, untouched=text)
    done = harness(
        "run", suite, "--seeds", 2, "--jobs", jobs, "--json", "--reports", tmp_path / "r", path=(tmp_path,)
    )
    assert done.returncode == 2, done.stderr
    assert len(json.loads(done.stdout)["experiments"]) == 2
    assert "a service that prints" in done.stderr
    assert "and one that writes to the descriptor" in done.stderr


@pytest.mark.parametrize("jobs", [1, 2])
def test_ctrl_c_ends_at_once_with_130(jobs: int, tmp_path: Path) -> None:
    long = UNTOUCHED.replace("for: 12s", "for: 1h").replace("drain: 20s", "drain: 10s")
    suite = write_suite(tmp_path, untouched=long)
    command = [*HARNESS, "run", suite, "--seeds", 2, "--jobs", jobs, "--reports", tmp_path / "r"]
    process = subprocess.Popen(
        [str(part) for part in command],
        env={**environment(), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("1 experiment, 2 seeds")
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130
    assert "Traceback" not in err
    assert "interrupted" in (out + err).lower()


def test_on_a_terminal_there_are_colours_unless_they_are_not_wanted(tmp_path: Path) -> None:
    suite = write_suite(tmp_path, untouched=UNTOUCHED)

    def shown(**more: str) -> str:
        parent, child = pty.openpty()
        unset = ("NO_COLOR", "CI", "GITHUB_ACTIONS")
        plain = {name: value for name, value in environment().items() if name not in unset}
        with subprocess.Popen(
            [*HARNESS, "run", str(suite), "--jobs", "1", "--reports", str(tmp_path / "r")],
            env={**plain, "TERM": "xterm-256color", **more},
            stdout=child,
            stderr=child,
            stdin=subprocess.DEVNULL,
        ) as process:
            os.close(child)
            found = b""
            # Reading a terminal whose other side is closed raises EIO on Linux.
            try:
                while part := os.read(parent, 65536):
                    found += part
            except OSError:
                pass
            assert process.wait(timeout=60) == 2
        os.close(parent)
        return found.decode()

    assert "\x1b[33m" in shown()
    assert "\x1b[33m" not in shown(NO_COLOR="1")
