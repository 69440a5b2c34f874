"""One small file a command; each imports what it needs when it runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.cli.commands.bench import bench
from harness.cli.commands.budget import budget
from harness.cli.commands.cleanup import cleanup
from harness.cli.commands.compare import compare
from harness.cli.commands.doctor import doctor
from harness.cli.commands.fault import fault
from harness.cli.commands.fuzz import fuzz
from harness.cli.commands.gate import gate
from harness.cli.commands.init import init
from harness.cli.commands.judge import judge
from harness.cli.commands.list import list_
from harness.cli.commands.load import load
from harness.cli.commands.parity import parity
from harness.cli.commands.plan import plan
from harness.cli.commands.replay import replay
from harness.cli.commands.run import run
from harness.cli.commands.schema import schema
from harness.cli.commands.toxiproxy import PASS_ON, toxiproxy
from harness.cli.commands.up import up
from harness.cli.commands.validate import validate

ALL: tuple[tuple[str, Callable[..., Any]], ...] = (
    ("init", init),
    ("run", run),
    ("fuzz", fuzz),
    ("bench", bench),
    ("validate", validate),
    ("plan", plan),
    ("list", list_),
    ("judge", judge),
    ("replay", replay),
    ("compare", compare),
    ("gate", gate),
    ("budget", budget),
    ("schema", schema),
    ("parity", parity),
    ("up", up),
    ("fault", fault),
    ("load", load),
    ("doctor", doctor),
    ("cleanup", cleanup),
    ("toxiproxy", toxiproxy),
)
"""Command names and functions, in the order in which `harness --help` shows them."""

CONTEXT: dict[str, dict[str, Any]] = {"toxiproxy": PASS_ON}
"""How the option parser treats a command that is not like the others."""
