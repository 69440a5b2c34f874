"""What some commands print, as a whole. Elsewhere tests look at exit codes, positions and documents."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.support import BACKEND_LOST, BROKEN, LIVE_LOSS, LIVE_ONLY, UNTOUCHED, call, write_suite
from tests.support.snapshots import compare_with_file

EXPECTED = Path(__file__).parent / "expected"


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("validate", ["validate", "good"]),
        ("validate-broken", ["validate", "bad"]),
        ("plan", ["plan", "good"]),
        ("list-experiments", ["list", "good"]),
        ("list-system", ["list", "tests.support.toy_system:system"]),
        ("run-misspelt", ["run", "good/experiment", "--seed", "1"]),
        ("run-options", ["run", "good", "--network", "kernel", "--load", "wrk"]),
        ("replay-nothing", ["replay", "good"]),
        ("fault-unknown", ["fault", "explode"]),
    ],
)
def test_output(name: str, arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_suite(tmp_path / "good", backend_lost=BACKEND_LOST, untouched=UNTOUCHED, only_live=LIVE_ONLY)
    write_suite(tmp_path / "bad", broken=BROKEN, live_loss=LIVE_LOSS)
    monkeypatch.chdir(tmp_path)
    called = call(*arguments)
    text = f"$ harness {' '.join(arguments)}\n{called.out}{called.err}exit code {called.code}\n"
    compare_with_file(EXPECTED / f"{name}.txt", text.replace(f"{tmp_path}/", ""))
