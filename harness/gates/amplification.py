"""`amplification`: how many requests the system receives for each one that clients cause."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, ClassVar

from pydantic import Field

from harness.diagnostics import Diagnostic
from harness.gates.base import CheckContext, Gate, JudgeContext
from harness.gates.during import DURING_TEXT, During, during_key
from harness.gates.registry import gate_kind
from harness.gates.result import GateResult, no_samples
from harness.gates.rows import Rows, limits_verdict, silent_clients, silent_text
from harness.history.read import History
from harness.sli.formatting import number
from harness.sli.query import windows


@gate_kind
class AmplificationGate(Gate):
    """For each request that is caused, at most so many are received: retries do not multiply the load.

    It is an exact fact of this run, no claim about other runs.
    """

    key: ClassVar = "amplification"

    amplification: Rows
    """The requests that are received downstream: {table: served}."""
    per: Rows
    """The requests that are caused upstream, by clients: {table: requests}."""
    at_most: Annotated[float, Field(gt=0)]
    """The largest number of requests received for each one caused, such as 1.2."""
    during: During = "all"
    """Which part of the run counts."""

    @property
    def label(self) -> str:
        return f"{self.amplification.table} per {self.per.table}"

    @property
    def distinctions(self) -> tuple[str, ...]:
        where = self.amplification.where
        return ("" if where is None else f" where {where}", DURING_TEXT[self.during])

    @property
    def fault_key(self) -> str | None:
        return during_key(self.during)

    def check(self, context: CheckContext) -> Iterator[Diagnostic]:
        for key, rows in (("amplification", self.amplification), ("per", self.per)):
            for problem in rows.check(context.system):
                yield problem.below((key,))

    def judge(self, history: History, context: JudgeContext) -> Iterable[GateResult]:
        """Without a request caused, or received, there is nothing to judge."""
        window = windows(history)[self.during]
        received, most_received = self.amplification.source(history).count(window)
        caused, most_caused = self.per.source(history).count(window)
        # A client that did not report has caused requests, too: to leave them out is the worst.
        if not caused or not most_received:
            table = self.amplification.table if caused else self.per.table
            reason = f"table {table} has no rows that count{DURING_TEXT[self.during]}"
            return [no_samples(context.name, threshold=self.at_most, reason=reason, samples=most_caused)]
        low = received / (most_caused + silent_clients(history, self.per.table))
        high = most_received / caused
        unknown = most_received - received + most_caused - caused
        also = f" ({unknown:,} unknown)" if unknown else ""
        return [
            GateResult(
                name=context.name,
                verdict=limits_verdict(low, high, None, self.at_most),
                reason=f"{number(received)} received for {number(caused)} caused{also} in this run are "
                f"{number(received / caused)} for each, at most {number(self.at_most)} is allowed"
                + silent_text(silent_clients(history, self.per.table)),
                value=received / caused,
                interval=None,
                threshold=self.at_most,
                unit="",
                samples=caused,
                unknown=unknown,
            )
        ]
