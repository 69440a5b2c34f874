"""Run aiohttp's own test suite on the simulated loop: `python -m tests.conformance.aiohttp_suite`.

Fetches the source of the installed version and what its tests need with pip, into a directory that is kept
(`.aiohttp-suite`). Each module runs twice, on asyncio's own loop and on the simulated one. What passes on the first and
fails on the second is printed, and is an error unless it is in `KNOWN`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from importlib.metadata import version
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).parents[2]
DIRECTORY = ROOT / ".aiohttp-suite"
NEEDS = ("pytest-mock", "trustme", "proxy.py", "freezegun")
MODULES = (
    "test_client_functional",
    "test_client_session",
    "test_connector",
    "test_web_server",
    "test_client_ws_functional",
    "test_web_websocket_functional",
    "test_web_functional",
    "test_web_sendfile_functional",
    "test_proxy_functional",
    "test_streams",
    "test_web_urldispatcher",
    "test_web_runner",
    "test_test_utils",
)

KNOWN: dict[str, str] = {}
"""Tests that fail on the simulated loop only, and why."""


def fetch() -> Path:
    """The directory of the source; what the tests need is beside it in `packages`."""
    name = f"aiohttp-{version('aiohttp')}"
    source = DIRECTORY / name
    if not source.exists():
        DIRECTORY.mkdir(exist_ok=True)
        pip = [sys.executable, "-m", "pip", "-q"]
        archive = ["--no-deps", "--no-binary", ":all:", "-d", str(DIRECTORY), name.replace("-", "==")]
        subprocess.run([*pip, "download", *archive], check=True)
        subprocess.run([*pip, "install", "--target", str(DIRECTORY / "packages"), *NEEDS], check=True)
        with tarfile.open(DIRECTORY / f"{name}.tar.gz") as packed:
            packed.extractall(DIRECTORY, filter="data")
        # The tests run against the installed aiohttp.
        (source / "aiohttp").rename(source / "aiohttp-source")
    return source


def outcomes(source: Path, modules: tuple[str, ...], *, simulated: bool) -> dict[str, str]:
    """By test: passed, failed or skipped."""
    report = DIRECTORY / f"{'simulated' if simulated else 'stock'}.xml"
    # What is fetched comes last: libraries of ours are not replaced.
    shadow = (
        "import sys; sys.path.append(sys.argv.pop(1)); import pytest; sys.exit(pytest.main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", shadow, str(DIRECTORY / "packages"), "-q", "-c", os.devnull]
    command += ["--rootdir", str(source), "--timeout", "20", "-p", "no:cacheprovider", f"--junitxml={report}"]
    command += (
        ["-p", "pytest_mock", "-p", "tests.conformance.simulated_loop"]
        if simulated
        else ["-p", "pytest_mock"]
    )
    command += [f"tests/{module}.py" for module in modules]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(command, cwd=source, env=environment, check=False, stdout=subprocess.DEVNULL)
    found = {}
    for case in ElementTree.parse(report).iter("testcase"):
        kinds = {child.tag for child in case}
        outcome = "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"
        found[f"{case.get('classname', '').removeprefix('tests.')}::{case.get('name')}"] = outcome
    return found


def main(modules: tuple[str, ...] = MODULES) -> int:
    source = fetch()
    stock = outcomes(source, modules, simulated=False)
    simulated = outcomes(source, modules, simulated=True)
    ours = [test for test, outcome in stock.items() if outcome == "passed" != simulated.get(test, "failed")]
    for module in modules:
        counts = [
            sum(test.startswith(module) and each[test] == "passed" for test in each)
            for each in (stock, simulated)
        ]
        print(f"{module:40} {counts[0]:5} on asyncio's loop, {counts[1]:5} on the simulated one")
    for test in ours:
        print(f"fails: {test}: {KNOWN.get(test.partition('[')[0], 'unknown')}")
    return int(any(test.partition("[")[0] not in KNOWN for test in ours))


if __name__ == "__main__":
    sys.exit(main(tuple(sys.argv[1:]) or MODULES))
