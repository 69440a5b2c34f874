"""A small picture of a confidence interval against its threshold."""

from __future__ import annotations

from markupsafe import Markup


def draw_interval(low: float, high: float, value: float, threshold: float | None, *, above: bool) -> Markup:
    """An `<svg>` element; the side where the threshold holds is shaded.

    `above`: the value must be at least the threshold (else at most). All in one unit.
    """
    numbers = [low, high, value, *([] if threshold is None else [threshold])]
    lowest, highest = min(numbers), max(numbers)
    pad = (highest - lowest) * 0.15 or abs(highest) * 0.1 or 1.0
    width, mid = 180, 12

    def x(v: float) -> float:
        return 4 + (v - lowest + pad) / (highest - lowest + 2 * pad) * (width - 8)

    parts = [f'<svg viewBox="0 0 {width} 24" class="interval" aria-hidden="true">']
    if threshold is not None:
        left, right = (x(threshold), width) if above else (0, x(threshold))
        parts.append(
            f'<rect class="good" x="{left:.1f}" y="2" width="{right - left:.1f}" height="20"/>'
            f'<path class="threshold" d="M{x(threshold):.1f} 0V24"/>'
        )
    parts.append(
        f'<path class="span" d="M{x(low):.1f} {mid}H{max(x(high), x(low) + 1):.1f}'
        f'M{x(low):.1f} {mid - 4}v8M{x(high):.1f} {mid - 4}v8"/>'
        f'<circle class="value" cx="{x(value):.1f}" cy="{mid}" r="3.5"/></svg>'
    )
    return Markup("".join(parts))
