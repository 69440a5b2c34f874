"""Toxics of other packages: entry points of the group `harness.toxics`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.toxiproxy.toxics.catalogue import BUILT_IN, ToxicModelError, catalogue
from tests.toxiproxy.process import ask, echoing, request, serving

SHOUT = """
from dataclasses import dataclass
from harness.toxiproxy.toxics import Behaviour, Stage

@dataclass(frozen=True)
class Shout(Behaviour):
    TYPE = "shout"

    async def pipe(self, stage: Stage) -> None:
        async for chunk in stage:
            await stage.write(chunk.data.upper())

noise = 1
"""


def install(directory: Path, name: str, value: str) -> Path:
    """A distribution with one module and one entry point, as an installer leaves it."""
    (directory / "shouting.py").write_text(SHOUT)
    information = directory / "shouting-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: shouting\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(f"[harness.toxics]\n{name} = {value}\n")
    return directory


def test_a_toxic_of_another_package_is_added_through_the_api(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(install(tmp_path, "shout", "shouting:Shout"))}
    with serving("-port", "0", env=environment) as (_, url), echoing() as upstream:
        proxy = request(f"{url}/proxies", {"name": "p", "listen": "127.0.0.1:0", "upstream": upstream})
        assert request(f"{url}/proxies/p/toxics", {"type": "shout"})["name"] == "shout_downstream"
        assert ask(proxy["listen"]) == b"HELLO"


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("shout", "shouting:Missing", "cannot be imported"),
        ("shout", "shouting:noise", "is not a subclass"),
        ("yell", "shouting:Shout", "must set TYPE = 'yell'"),
        ("latency", "harness.toxiproxy.toxics.latency:Latency", "is a duplicate of Latency"),
    ],
)
def test_an_invalid_entry_point_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, reason: str
) -> None:
    monkeypatch.syspath_prepend(install(tmp_path, name, value))
    with pytest.raises(ToxicModelError) as error:
        catalogue()
    assert f"toxic '{name}' ({value})" in str(error.value)
    assert reason in str(error.value)


def test_the_server_does_not_start_with_an_invalid_entry_point(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(install(tmp_path, "shout", "shouting:Missing"))}
    command = [sys.executable, "-m", "harness.toxiproxy", "serve", "-port", "0"]
    done = subprocess.run(command, check=False, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "toxic 'shout' (shouting:Missing) cannot be imported" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_entry_points_there_are_the_built_in_ones() -> None:
    assert set(BUILT_IN) <= set(catalogue().values())
