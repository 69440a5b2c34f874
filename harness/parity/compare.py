"""How far apart two runs of one experiment are, one in virtual time and one live, and whether that is near enough.

Pure. The aims are those of docs/live.md: the same verdicts; shares within two points; times of answers to faults
within 20 %; percentiles of SLOs within 15 %; what a system declares (`harness.system.ParityMetric`)
within what it says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from harness.gates.result import EXIT_CODES, GateResult, Verdict
from harness.parity.distance import Distribution
from harness.sli.formatting import duration, quantity
from harness.system import ParityMetric
from harness.verdict.model import ExperimentResult

SHARE_POINTS = 0.02
EVENT_WITHIN = 0.20
PERCENTILE_WITHIN = 0.15

RESOLUTION_S = 0.010
"""Times that differ by less are alike, whatever the ratio: live, a busy loop's turn and a proxy's pieces of 32 KiB
take milliseconds that the network of virtual time does not have."""


class Outcome(StrEnum):
    WITHIN = "within"
    OUTSIDE = "outside"
    NOTHING = "nothing to compare"


@dataclass(frozen=True, slots=True)
class Aim:
    """How far apart is near enough: a share of the value in virtual time (`relative`), or a difference in its unit.

    `least`: a difference that is always near enough, in the value's unit.
    """

    within: float
    relative: bool
    least: float = 0.0

    def met(self, sim: float, live: float) -> bool:
        apart = abs(live - sim)
        # Room for the rounding of floating point, at the very edge.
        most = self.within * abs(sim) if self.relative else self.within
        return apart <= max(most, self.least) + 1e-12

    def text(self, unit: str) -> str:
        """`15%`, `2 points`, `10 ms`."""
        if self.relative:
            return f"{self.within * 100:g}%"
        return f"{self.within * 100:g} points" if unit == "ratio" else quantity(self.within, unit)


@dataclass(frozen=True, slots=True)
class Comparison:
    """One line of the judgement. Values in `unit`; None where there is none. `said`: verdicts, where there are.

    `aim` None: only the verdicts are compared.
    """

    what: str
    unit: str
    sim: float | None
    live: float | None
    aim: Aim | None
    outcome: Outcome
    rows: tuple[int, int] = (0, 0)
    said: tuple[str, str] | None = None

    @property
    def apart(self) -> str:
        """Live against virtual time: `+3%`, `-1.2 points`, `-` where it cannot be said."""
        if self.sim is None or self.live is None:
            return "-"
        if self.unit == "ratio":
            return f"{(self.live - self.sim) * 100:+.1f} points"
        if self.sim == self.live:
            return "+0%"
        return "-" if not self.sim else f"{(self.live - self.sim) / self.sim:+.0%}"


@dataclass(frozen=True, slots=True)
class Measured:
    """A quantity's value in one world, and how many rows it was made of."""

    value: float | None
    rows: int


@dataclass(frozen=True, slots=True)
class Pair:
    """One experiment in both worlds. `broken`: what could not be computed."""

    sim: ExperimentResult
    live: ExperimentResult
    comparisons: tuple[Comparison, ...]
    distributions: tuple[Distribution, ...] = ()
    broken: tuple[str, ...] = ()

    @property
    def agree(self) -> bool:
        """The same verdict, of the experiment and of every gate and arm."""
        return all(one.outcome is not Outcome.OUTSIDE for one in self.comparisons if one.aim is None) and all(
            one.said is None or one.said[0] == one.said[1] for one in self.comparisons
        )

    @property
    def outside(self) -> tuple[Comparison, ...]:
        return tuple(one for one in self.comparisons if one.outcome is Outcome.OUTSIDE)

    @property
    def compared(self) -> bool:
        """Whether any figure could be compared at all."""
        return any(one.aim is not None and one.outcome is not Outcome.NOTHING for one in self.comparisons)

    @property
    def verdict(self) -> Verdict:
        """passed: everything within its aim; failed: something outside; inconclusive: no figure to compare;
        error, interrupted: as the runs."""
        ran = (self.sim.verdict, self.live.verdict)
        if Verdict.INTERRUPTED in ran:
            return Verdict.INTERRUPTED
        if Verdict.ERROR in ran or self.broken:
            return Verdict.ERROR
        if self.outside:
            return Verdict.FAILED
        return Verdict.PASSED if self.compared else Verdict.INCONCLUSIVE

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.verdict]


def compare(
    sim: ExperimentResult,
    live: ExperimentResult,
    parity_metrics: Sequence[ParityMetric] = (),
    measured: Mapping[str, tuple[Measured, Measured]] | None = None,
) -> Iterator[Comparison]:
    """The verdict, every gate, every arm, every quantity of the system (`measured`: by name, sim and live)."""
    yield _verdicts("verdict", sim.verdict, live.verdict)
    yield from _gates(sim.gates, live.gates)
    for a, b in zip(sim.arms, live.arms, strict=False):
        yield _verdicts(f"arm {a.name}", a.verdict, b.verdict)
    for each in parity_metrics:
        if measured is not None and each.name in measured:
            yield _quantity(each, *measured[each.name])


def _verdicts(what: str, sim: Verdict, live: Verdict) -> Comparison:
    outcome = Outcome.WITHIN if sim == live else Outcome.OUTSIDE
    return Comparison(what, "", None, None, None, outcome, said=(sim.value, live.value))


def _gates(sim: Sequence[GateResult], live: Sequence[GateResult]) -> Iterator[Comparison]:
    """In order; a group that only one world has is outside. Invariants that agree are one line."""
    others = {gate.name: gate for gate in live}
    calm = 0
    for gate in sim:
        other = others.pop(gate.name, None)
        if other is not None and gate.kind == "invariant" and gate.verdict == other.verdict:
            calm += 1
        else:
            yield _gate(gate, other)
    for gate in others.values():
        yield _gate(None, gate)
    if calm:
        said = "the same"
        yield Comparison(f"{calm} invariants", "", None, None, None, Outcome.WITHIN, said=(said, said))


def _gate(sim: GateResult | None, live: GateResult | None) -> Comparison:
    one = sim or live
    assert one is not None
    if sim is None or live is None:
        said = (_said(sim), _said(live))
        values = (sim.value if sim else None, live.value if live else None)
        return Comparison(one.name, one.unit, values[0], values[1], None, Outcome.OUTSIDE, said=said)
    rows = (sim.samples, live.samples)
    aim = _aim(one, min(rows))
    outcome = _outcome(sim.value, live.value, aim)
    if sim.verdict != live.verdict:
        outcome = Outcome.OUTSIDE
    said = (_said(sim), _said(live))
    return Comparison(one.name, one.unit, sim.value, live.value, aim, outcome, rows, said)


def _said(gate: GateResult | None) -> str:
    return "absent" if gate is None else gate.verdict.value


def _aim(gate: GateResult, rows: int) -> Aim | None:
    if gate.unit == "ratio":
        # One row more or less is no difference that anything could be read from.
        return Aim(SHARE_POINTS, relative=False, least=1 / rows if rows else 0.0)
    if gate.kind == "event":
        return Aim(EVENT_WITHIN, relative=True, least=RESOLUTION_S)
    if gate.kind == "invariant":
        return None
    return Aim(PERCENTILE_WITHIN, relative=True, least=RESOLUTION_S if gate.unit == "s" else 0.0)


def _quantity(wanted: ParityMetric, sim: Measured, live: Measured) -> Comparison:
    aim = Aim(wanted.within, wanted.relative, RESOLUTION_S if wanted.unit == "s" else 0.0)
    outcome = _outcome(sim.value, live.value, aim)
    return Comparison(
        wanted.name, wanted.unit, sim.value, live.value, aim, outcome, rows=(sim.rows, live.rows)
    )


def _outcome(sim: float | None, live: float | None, aim: Aim | None) -> Outcome:
    if sim is None and live is None:
        return Outcome.NOTHING
    if aim is None:
        return Outcome.WITHIN
    if sim is None or live is None:
        return Outcome.OUTSIDE
    return Outcome.WITHIN if aim.met(sim, live) else Outcome.OUTSIDE


def worst_line(pair: Pair) -> str:
    """What is outside, in a few words; what is apart most, when nothing is."""
    if pair.broken:
        return pair.broken[0]
    if pair.outside:
        return ", ".join(one.what for one in pair.outside)
    shifts = sorted(pair.distributions, key=lambda each: each.distance, reverse=True)
    if not shifts:
        return "everything that could be compared is within its aim"
    least = shifts[0]
    return (
        f"all within; the distribution furthest apart is {least.table}.{least.column}, "
        f"shifted by {duration(least.shift_s)}"
    )
