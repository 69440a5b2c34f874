"""How verdicts, values, intervals, limits and times are written for people. Pure text, one place.

A verdict is always a word; symbols and colours only come on top of it.
"""

from __future__ import annotations

from harness.verdict.model import FaultResult, GateResult, Verdict

SYMBOLS = {
    Verdict.PASSED: "✓",
    Verdict.FAILED: "✗",
    Verdict.INCONCLUSIVE: "?",
    Verdict.ERROR: "!",
    Verdict.INTERRUPTED: "‖",
}

MEANINGS = {
    Verdict.PASSED: "every gate holds and every fault touched real traffic",
    Verdict.FAILED: "a gate is breached, or an ablation arm that must breach did not",
    Verdict.INCONCLUSIVE: "there is not enough evidence to say that it holds",
    Verdict.ERROR: "a fault could not be applied or undone, or something broke; nothing can be said",
    Verdict.INTERRUPTED: "stopped early; faults were undone first",
}

_DECIMALS_MAX = 4


def verdict_word(verdict: Verdict) -> str:
    return verdict.value.upper()


def number(value: float) -> str:
    """At most three decimals, thousands separated, no trailing zeros: `1,204`, `0.25`, `-3`."""
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def ratio_decimals(limit: float | None) -> int:
    """Decimals of a percentage that tell a value from its limit: one more than the limit itself has."""
    if limit is None:
        return 2
    for decimals in range(1, _DECIMALS_MAX):
        if abs(round(limit * 100, decimals) - limit * 100) < 1e-9:
            return decimals + 1
    return _DECIMALS_MAX


def ratio(value: float, decimals: int = 2) -> str:
    """`99.95%`. Never rounds up to 100% (or down to 0%) what is not."""
    text = f"{value * 100:.{decimals}f}"
    if value < 1 and float(text) >= 100:
        text = f"{100 - 10**-decimals:.{decimals}f}"
    elif value > 0 and float(text) <= 0:
        text = f"{10**-decimals:.{decimals}f}"
    if value in (0.0, 1.0):
        text = f"{value * 100:.0f}"
    return f"{text}%"


def duration(seconds: float) -> str:
    """`85 ms`, `1.84 s`, `95 s`, `12 min`."""
    size = abs(seconds)
    if size == 0:
        return "0 s"
    if size < 0.001:
        return f"{seconds * 1e6:.0f} us"
    if size < 0.9995:
        return f"{seconds * 1e3:.3g} ms"
    if size < 99.95:
        return f"{seconds:.3g} s"
    if size < 600:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.3g} min"


def clock(seconds: float) -> str:
    """A moment of the run: `60 s`, `12.5 s`."""
    return f"{seconds:.1f}".rstrip("0").rstrip(".") + " s"


def quantity(value: float | None, unit: str, limit: float | None = None) -> str:
    """A value in its unit; `-` where there is none."""
    if value is None:
        return "-"
    if unit == "ratio":
        return ratio(value, ratio_decimals(limit))
    if unit == "s":
        return duration(value)
    if unit == "bps":
        for size, name in ((1e9, "Gbps"), (1e6, "Mbps"), (1e3, "kbps")):
            if abs(value) >= size:
                return f"{value / size:.3g} {name}"
    if unit in ("", "count"):
        return number(value)
    return f"{number(value)} {unit}"


def gate_value(gate: GateResult) -> str:
    return quantity(gate.value, gate.unit, gate.limit)


def gate_interval(gate: GateResult) -> str:
    if gate.interval is None:
        return "-"
    low, high = gate.interval
    return f"[{quantity(low, gate.unit, gate.limit)}, {quantity(high, gate.unit, gate.limit)}]"


def limit_sign(gate: GateResult) -> str:
    """A ratio is the share of good rows: at least. Everything else is at most."""
    return "≥" if gate.unit == "ratio" else "≤"


def gate_limit(gate: GateResult) -> str:
    if gate.limit is None:
        return "-"
    if gate.unit == "ratio":
        return f"≥ {ratio(gate.limit, max(1, ratio_decimals(gate.limit) - 1))}"
    return f"{limit_sign(gate)} {quantity(gate.limit, gate.unit)}"


def gate_needs(gate: GateResult) -> str | None:
    """What it would take to be sure, where more samples are the answer."""
    if gate.needs is None:
        return None
    return f"{gate.needs:,} more sample{'' if gate.needs == 1 else 's'} for a confident claim"


def fault_when(fault: FaultResult) -> str:
    if fault.applied_at_s is None:
        return "never applied"
    if fault.undone_at_s is None:
        return f"from {clock(fault.applied_at_s)} to the end"
    if fault.undone_at_s == fault.applied_at_s:
        return f"at {clock(fault.applied_at_s)}"
    return f"{clock(fault.applied_at_s)} to {clock(fault.undone_at_s)}"


_EXPOSURE = {
    "connections": ("connection", "connections"),
    "connects_blocked": ("blocked connect", "blocked connects"),
    "requests": ("request", "requests"),
    "resets": ("reset", "resets"),
    "bytes": ("byte", "bytes"),
}


def exposure(counts: dict[str, int]) -> str:
    """`412 connections, 3.2 MB`: only what is not zero; `touched nothing` when all is."""
    parts = []
    for name, count in counts.items():
        if not count:
            continue
        if name == "bytes":
            parts.append(byte_count(count))
        else:
            one, many = _EXPOSURE.get(name, (name.replace("_", " "),) * 2)
            parts.append(f"{count:,} {one if count == 1 else many}")
    return ", ".join(parts) or "touched nothing"


def byte_count(count: int) -> str:
    for size, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "KB")):
        if count >= size:
            return f"{count / size:.3g} {name}"
    return f"{count} B"


def targets(names: tuple[str, ...], most: int = 3) -> str:
    """The first few names and how many more."""
    if not names:
        return "no target"
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[:most])} and {len(names) - most} more"


def fault_line(fault: FaultResult) -> str:
    """`edge-down: crash of edge-a-1, 60 s to 120 s, 41 connections`."""
    what = f"{fault.fault} of {targets(fault.targets)}"
    named = what if fault.name == fault.fault else f"{fault.name}: {what}"
    return f"{named}, {fault_when(fault)}, {exposure(fault.exposure)}"
