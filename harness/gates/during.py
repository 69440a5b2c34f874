"""`during`: which part of a run a gate is about, and when a run is over."""

from __future__ import annotations

from typing import Literal

from harness.history.read import History
from harness.history.table import quoted

type During = Literal["all", "before", "fault", "after"]
"""Before the first fault, from its start to the end of the last fault, from there on, or all of the run."""

DURING_TEXT = {
    "before": " before the fault",
    "fault": " during the fault",
    "after": " after the fault",
    "all": "",
}
"""What a label appends for each value."""


def during_key(during: During) -> str | None:
    """`Gate.fault_key` of a gate with that value."""
    return "during" if during in ("fault", "after") else None


def run_end_s(history: History) -> float:
    """The last moment that the history knows of, in seconds of the run."""
    ends = [
        end
        for fault in history.metadata.faults
        if (end := fault.undone_at_s or fault.applied_at_s) is not None
    ]
    for table, columns in history.tables.items():
        for column in {"t_s", "ended_s"} & columns.keys():
            ((last,),) = history.query(f"SELECT max({column}) FROM {quoted(table)}")
            ends += [] if last is None else [float(last)]
    return max(ends, default=0.0)


def load_end_s(history: History) -> float:
    """When the last client arrives; where that is not known, the end of the run."""
    if "clients" in history.tables:
        ((last,),) = history.query("SELECT max(arrived_s) FROM clients")
        if last is not None:
            return float(last)
    return run_end_s(history)
