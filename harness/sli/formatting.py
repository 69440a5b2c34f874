"""Quantities as text: values in their unit, times, exposure, targets. The only place that formats them."""

from __future__ import annotations

from dataclasses import fields

from harness.faults.exposure import Effects, Exposure

_MAX_DECIMALS = 4


def number(value: float) -> str:
    """At most three decimals, thousands separated, no trailing zeros: `1,204`, `0.25`, `-3`."""
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def ratio_decimals(threshold: float | None) -> int:
    """Decimals of a percentage that distinguish a value from its threshold: one more than the threshold has."""
    if threshold is None:
        return 2
    for decimals in range(1, _MAX_DECIMALS):
        if abs(round(threshold * 100, decimals) - threshold * 100) < 1e-9:
            return decimals + 1
    return _MAX_DECIMALS


def ratio(value: float, decimals: int = 2) -> str:
    """`99.95%`. Only exactly 1 is 100%, and only exactly 0 is 0%."""
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


def quantity(value: float | None, unit: str, threshold: float | None = None) -> str:
    """A value in its unit; `-` where there is none. A `ratio` is of good ones; a `share` is of anything."""
    if value is None:
        return "-"
    if unit in ("ratio", "share"):
        return ratio(value, ratio_decimals(threshold))
    if unit == "s":
        return duration(value)
    if unit == "bps":
        for size, name in ((1e9, "Gbps"), (1e6, "Mbps"), (1e3, "kbps")):
            if abs(value) >= size:
                return f"{value / size:.3g} {name}"
    if unit in ("", "count"):
        return number(value)
    return f"{number(value)} {unit}"


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


_EFFECTS = {
    "connections": ("connection", "connections"),
    "delayed": ("delayed", "delayed"),
    "lost": ("with losses", "with losses"),
    "limited": ("limited", "limited"),
    "resets": ("reset", "reset"),
    "connects_blocked": ("blocked connect", "blocked connects"),
    "requests": ("request", "requests"),
}
_OF_CONNECTIONS = ("delayed", "lost", "limited", "resets")


def effects(found: Effects) -> str:
    """`412 connections (400 delayed, 12 reset), 3.2 MB`: only what is not zero; `nothing` when all is."""
    parts = []
    for field in fields(Effects):
        count = getattr(found, field.name)
        if not count or field.name in _OF_CONNECTIONS:
            continue
        text = effect(field.name, count)
        if field.name == "connections":
            happened = [
                f"{of:,} {_EFFECTS[name][0]}" for name in _OF_CONNECTIONS if (of := getattr(found, name))
            ]
            text += f" ({', '.join(happened)})" if happened else ""
        parts.append(text)
    return ", ".join(parts) or "nothing"


def effect(name: str, count: int) -> str:
    """One count of `Effects`: `41 blocked connects`, `3.2 MB`."""
    if name == "bytes":
        return byte_count(count)
    if name == "throttled_ms":
        return f"{duration(count / 1e3)} of processor time waited for"
    one, many = _EFFECTS[name]
    return f"{count:,} {one if count == 1 else many}"


def exposure(found: Exposure) -> str:
    """The effects on traffic of clients, then those on other traffic; `affected nothing` without any."""
    if found == Exposure():
        return "affected nothing"
    own = Effects(*(getattr(found, field.name) for field in fields(Effects)))
    parts = [effects(own)] if own.any or not found.unattributed.any else []
    if found.unattributed.any:
        parts.append(f"{effects(found.unattributed)} (cause unknown)")
    text = "; ".join(parts)
    return f"{text}; of services alone: {effects(found.background)}" if found.background.any else text


def fault_times(applied_at_s: float | None, undone_at_s: float | None) -> str:
    """`40 s to 80 s`. `undone_at_s` None: it is not undone; both times alike: it is instant."""
    if applied_at_s is None:
        return "never applied"
    if undone_at_s is None:
        return f"from {clock(applied_at_s)} to the end"
    if undone_at_s == applied_at_s:
        return f"at {clock(applied_at_s)}"
    return f"{clock(applied_at_s)} to {clock(undone_at_s)}"
