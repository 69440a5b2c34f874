"""The names of the files in a run directory, and of the tables that every history has."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

EXPERIMENT = "experiment.yaml"
SLOS = "slos.yaml"
METADATA = "metadata.json"
ENVIRONMENT = "environment.json"
VERDICT = "verdict.json"

EVENTS = "events"
CLIENTS = "clients"


def file_hashes(directory: Path) -> dict[str, str]:
    """File name to SHA-256 in hex, of every file that decides a verdict: tables, experiment, SLOs, metadata."""
    files = [*directory.glob("*.parquet"), *(directory / name for name in (EXPERIMENT, SLOS, METADATA))]
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(files) if file.is_file()
    }


def alterations(directory: Path, recorded: Mapping[str, str] | None) -> tuple[str, ...]:
    """How the files differ from the recorded hashes, in words: `sessions.parquet was changed`."""
    if recorded is None:
        return ("environment.json has no 'files': the files cannot be checked",)
    found = file_hashes(directory)
    problems = []
    for name in sorted({*recorded, *found}):
        if name not in found:
            problems.append(f"{name} is missing")
        elif name not in recorded:
            problems.append(f"{name} was added")
        elif found[name] != recorded[name]:
            problems.append(f"{name} was changed")
    return tuple(problems)
