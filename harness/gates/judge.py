"""Judging gates of any kind on a history."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from harness.errors import InvalidValue, debug
from harness.gates.base import Gate, JudgeContext
from harness.gates.names import gate_names
from harness.gates.result import INTERVAL_CONFIDENCE, GateResult, no_samples, not_computable
from harness.history.metadata import HistoryError
from harness.history.read import History
from harness.sli.base import Slo
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
    names = gate_names(gates)
    known = [*lines, *[None] * (len(gates) - len(lines))]
    return [
        replace(result, kind=gate.key, line=line, confidence=INTERVAL_CONFIDENCE if result.interval else None)
        for gate, name, line in zip(gates, names, known, strict=True)
        for result in _judge(gate, history, JudgeContext(name, slos, control))
    ]


def _judge(gate: Gate, history: History, context: JudgeContext) -> Iterator[GateResult]:
    try:
        found = tuple(gate.judge(history, context))
        # Never green by absence: a gate without a result would not be missed.
        yield from found or [no_samples(context.name, slo=gate.slo_name, reason="the gate gave no result")]
    except (HistoryError, InvalidValue) as error:
        yield not_computable(context.name, error, slo=gate.slo_name)
    except Exception as error:
        debug(error)
        yield not_computable(context.name, describe_error(error), slo=gate.slo_name)
