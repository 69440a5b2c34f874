"""Texts that are compared as a whole."""

from __future__ import annotations

import os
from pathlib import Path


def compare_with_file(file: Path, text: str) -> None:
    """`text` is what the file holds; with HARNESS_UPDATE_SNAPSHOTS=1, write it (then read the difference)."""
    if os.environ.get("HARNESS_UPDATE_SNAPSHOTS") == "1":
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")
