"""What a run was made from: kept as `environment.json`, to judge the run again and to replay it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from harness.history.files import ENVIRONMENT


class ArmPlace(BaseModel):
    """An ablation arm and where its history is, relative to the run directory."""

    model_config = ConfigDict(frozen=True)

    name: str
    directory: str


class Environment(BaseModel):
    """How an arm was run. Paths are as the command line shows them. `arguments`: how the runtime was set up.

    `history_sha256`, `rows` and `files` are filled in when the history is written: the hash of all rows, the
    number of rows in each table, and the SHA-256 of each file (see `harness.history.checksums`).
    """

    model_config = ConfigDict(frozen=True)

    experiment: str
    file: str
    slos_file: str | None
    system: str
    runtime: str
    arguments: tuple[str, ...] = ()
    seed: int
    without: tuple[str, ...]
    arm: str
    arms: tuple[ArmPlace, ...]
    targets: Mapping[str, tuple[str, ...]]
    run: str
    replay: str
    versions: Mapping[str, str]
    history_sha256: str = ""
    rows: Mapping[str, int] = {}
    files: Mapping[str, str] | None = None


def read_environment(directory: Path) -> Environment:
    """Of a run directory or of an arm in it. Raises OSError, ValueError."""
    return Environment.model_validate_json((directory / ENVIRONMENT).read_bytes())
