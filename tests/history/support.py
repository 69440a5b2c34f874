"""An environment for histories made by hand."""

from __future__ import annotations

from typing import Any

from harness.history.metadata import Environment


def environment(**changes: Any) -> Environment:
    return Environment.model_validate(
        {
            "experiment": "shop-crash",
            "file": "shop.chaos.yaml",
            "slos_file": "slos.yaml",
            "system": "shop",
            "runtime": "sim",
            "options": {},
            "seed": 7,
            "without": (),
            "arm": "main",
            "arms": (),
            "targets": {},
            "run": "reports/shop",
            "replay": "harness replay reports/shop",
            "versions": {},
            **changes,
        }
    )
