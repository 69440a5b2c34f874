"""Whether a history is still what was recorded: the SHA-256 of every file, kept in environment.json.

This finds what happens to files by mistake (a table edited, a file copied from another run). It is no
signature: who changes a file can change its hash.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FILES = "files"
"""The key in environment.json: file name to the SHA-256 of its bytes, in hex."""

_OTHERS = ("experiment.yaml", "slos.yaml", "facts.json")
"""What else a verdict comes from, beside the tables."""


def file_hashes(directory: Path) -> dict[str, str]:
    """Of every file that a verdict comes from, by name: the tables, what was asked, what the faults did."""
    files = [*directory.glob("*.parquet"), *(directory / name for name in _OTHERS)]
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(files) if file.is_file()
    }


def altered(directory: Path, environment: Mapping[str, Any]) -> tuple[str, ...]:
    """What is not as it was recorded, in words: `sessions.parquet was changed`; nothing when all is."""
    recorded = environment.get(FILES)
    if not isinstance(recorded, Mapping):
        return (f"environment.json has no '{FILES}': nothing tells whether its files are those recorded",)
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
