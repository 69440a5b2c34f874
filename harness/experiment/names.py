"""The diagnostic for a name that does not exist."""

from __future__ import annotations

from collections.abc import Sequence

from harness.diagnostics import Code, Diagnostic, Path
from harness.text import did_you_mean, quote


def unknown_name(
    path: Path, what: str, word: str, allowed: Sequence[str], where: str = "", *, key: bool = False
) -> Diagnostic:
    """`no role 'edg' in system streaming; there is edge, origin; did you mean 'edge'?`, without a position."""
    return Diagnostic(
        Code.UNKNOWN_NAME,
        f"no {what} {quote(word)}" + (f" in {where}" if where else ""),
        f"there is {', '.join(allowed) or 'none'}",
        did_you_mean(word, allowed),
        path=path,
        about_key=key,
    )
