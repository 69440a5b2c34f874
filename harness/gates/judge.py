"""Judging gates of any kind on a history."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from harness.errors import InvalidValue, debug
from harness.gates.base import Gate, JudgeContext, PooledRun
from harness.gates.names import gate_names
from harness.gates.result import GateResult, no_samples, not_computable
from harness.history.metadata import HistoryError
from harness.history.read import History
from harness.sli.base import Slo
from harness.sli.statistics import CONFIDENCE
from harness.text import describe_error


def judge_gates(
    gates: Sequence[Gate],
    history: History,
    slos: Mapping[str, Slo],
    lines: Sequence[int | None] = (),
    control: History | None = None,
) -> list[GateResult]:
    """The results of all gates, in order. `lines`: where each gate is in its file.

    A judgement that breaks is a result with the verdict `error`: never passed.
    """
    return judge_pooled_gates(gates, [PooledRun(history, control)], slos, lines)


def judge_pooled_gates(
    gates: Sequence[Gate],
    runs: Sequence[PooledRun],
    slos: Mapping[str, Slo],
    lines: Sequence[int | None] = (),
    confidence: float = CONFIDENCE,
) -> list[GateResult]:
    """As `judge_gates`, of several runs together; of one run it is the same. `confidence`: of each bound."""
    names = gate_names(gates)
    known = [*lines, *[None] * (len(gates) - len(lines))]
    return [
        replace(
            result,
            kind=gate.key,
            line=line,
            confidence=round(2 * confidence - 1, 6) if result.interval else None,
        )
        for gate, name, line in zip(gates, names, known, strict=True)
        for result in _judge(gate, runs, JudgeContext(name, slos, confidence=confidence))
    ]


def _judge(gate: Gate, runs: Sequence[PooledRun], context: JudgeContext) -> Iterator[GateResult]:
    try:
        if len(runs) == 1:
            found = tuple(gate.judge(runs[0].history, replace(context, control=runs[0].control)))
        else:
            found = tuple(gate.judge_pooled(runs, context))
        # Never green by absence: a gate without a result would not be missed.
        yield from found or [no_samples(context.name, slo=gate.slo_name, reason="the gate gave no result")]
    except (HistoryError, InvalidValue) as error:
        yield not_computable(context.name, error, slo=gate.slo_name)
    except Exception as error:
        debug(error)
        yield not_computable(context.name, describe_error(error), slo=gate.slo_name)
