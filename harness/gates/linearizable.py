"""`linearizable`: what clients read and wrote is as if each operation took effect at one moment."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import replace
from typing import ClassVar

from harness.diagnostics import Diagnostic
from harness.gates.base import CheckContext, Gate, JudgeContext
from harness.gates.registry import gate_kind
from harness.gates.result import GateResult, Verdict, no_samples
from harness.history.read import History
from harness.history.table import quoted
from harness.sli.checks import check_table_expression
from harness.sli.linearizability import Operation, is_linearizable
from harness.sli.query import check_condition, check_number


@gate_kind
class LinearizableGate(Gate):
    """The rows of a table, each a read or a write of a register, are linearizable.

    A row for which `ok` is not true had no answer: such a write may have taken effect at any time since it began, or
    not at all. A row without a begin or an end cannot be placed, and makes the gate inconclusive.
    """

    key: ClassVar = "linearizable"

    linearizable: str
    """The table."""
    read: str = "kind = 'read'"
    """SQL: whether a row is a read; other rows are writes."""
    value: str = "value"
    """SQL for the value that was read or written."""
    by: str = "''"
    """SQL for which register it is, such as a key; each is judged by itself."""
    began: str = "began_at_s"
    """SQL for when the operation began, in seconds."""
    at: str = "t_s"
    """SQL for when it ended, in seconds."""
    ok: str = "ok"
    """SQL: whether it had an answer."""
    initial: str | None = None
    """The value before any write; null if not given."""

    @property
    def label(self) -> str:
        return f"{self.linearizable} linearizable"

    def check(self, context: CheckContext) -> Iterator[Diagnostic]:
        expressions = {
            "read": (self.read, False),
            "value": (f"({self.value}\n) IS NULL", False),
            "by": (f"({self.by}\n) IS NULL", False),
            "began": (self.began, True),
            "at": (self.at, True),
            "ok": (self.ok, False),
        }
        for key, (expression, numeric) in expressions.items():
            for problem in check_table_expression(
                context.system, self.linearizable, expression, key=key, numeric=numeric
            ):
                if problem.path == ("table",):
                    yield replace(problem, path=(self.key,))
                    return  # once is enough
                yield problem

    def judge(self, history: History, context: JudgeContext) -> Iterable[GateResult]:
        table = self.linearizable
        for what, condition in (("read", self.read), ("ok", self.ok)):
            check_condition(history, table, what, condition)
        for what, number in (("began", self.began), ("at", self.at)):
            check_number(history, table, what, number)
        for text in (self.value, self.by):
            history.kind(text, table)
        rows = history.query(
            f"SELECT CAST(({self.by}\n) AS VARCHAR), ({self.began}\n)::DOUBLE, ({self.at}\n)::DOUBLE, "
            f"({self.read}\n), CAST(({self.value}\n) AS VARCHAR), coalesce(({self.ok}\n), false) "
            f"FROM {quoted(table)} ORDER BY 2, 3, 1, 5"
        )
        if not rows:
            return [
                no_samples(context.name, threshold=0.0, unit="count", reason=f"table {table} has no rows")
            ]
        registers: dict[Hashable, list[Operation]] = {}
        unknown = 0
        for register, began_s, end_s, is_read, value, ok in rows:
            if began_s is None or end_s is None or is_read is None:
                unknown += 1
                continue
            operation = Operation(began_s, end_s, bool(is_read), value, bool(ok))
            registers.setdefault(register, []).append(operation)
        judged = {register: is_linearizable(found, self.initial) for register, found in registers.items()}
        bad = [str(register) for register, holds in judged.items() if holds is False]
        undecided = [str(register) for register, holds in judged.items() if holds is None]
        return [self._result(context.name, len(rows), unknown, len(judged), bad, undecided)]

    def _result(
        self, name: str, rows: int, unknown: int, registers: int, bad: list[str], undecided: list[str]
    ) -> GateResult:
        verdict = Verdict.PASSED
        if bad:
            verdict = Verdict.FAILED
        elif undecided or unknown:
            verdict = Verdict.INCONCLUSIVE
        parts = [
            text
            for count, text in (
                (bad, f"no order explains {_names(bad)}"),
                (undecided, f"too many orders to decide {_names(undecided)}"),
                (unknown, f"{unknown:,} rows have no begin, end or kind"),
            )
            if count
        ]
        outcome = "; ".join(parts) or "each has an order that explains all reads"
        return GateResult(
            name=name,
            verdict=verdict,
            reason=f"{rows:,} operations on {registers:,} registers: {outcome}",
            value=float(len(bad)),
            interval=None,
            threshold=0.0,
            unit="count",
            samples=rows,
            unknown=unknown,
        )


def _names(names: list[str]) -> str:
    shown = ", ".join(name or "the register" for name in names[:3])
    return shown + (f" and {len(names) - 3} more" if len(names) > 3 else "")
