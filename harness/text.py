"""Small helpers for sentences that people read."""

from __future__ import annotations

import difflib
import re
import sys
import traceback
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffe\uffff]"
)
"""Control characters, marks that reorder text, line separators, lone surrogates, and what XML cannot carry."""

_NAMED = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


def escape_controls(text: str, keep: str = "") -> str:
    r"""The text with characters that a terminal or a page would act on as escapes: `\n`, `\x1b`, `\u202e`.

    Everything that is printed or written for people goes through it. `keep`: characters that stay as they are.
    """

    def escaped(match: re.Match[str]) -> str:
        char = match[0]
        if char in keep:
            return char
        code = ord(char)
        return _NAMED.get(char) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")

    return _UNSAFE.sub(escaped, text)


def escape_json_controls(text: str) -> str:
    """A JSON document with the same characters as the escapes of JSON: the same document."""
    return _UNSAFE.sub(lambda match: match[0] if match[0] == "\n" else f"\\u{ord(match[0]):04x}", text)


def one_line(text: str) -> str:
    """The text as one line of output, which no CI system takes for a command (`::error::`, `##[error]`)."""
    line = escape_controls(text)
    if line.lstrip().startswith("::"):
        line = line.replace("::", r"\x3a:", 1)
    return line.replace("##[", r"#\x23[")


def nearest(word: str, allowed: Iterable[str]) -> str | None:
    """The allowed word that `word` most likely means, or None. Case, `-`, `_` and spaces do not count."""
    plain = {_plain(candidate): candidate for candidate in reversed(list(allowed))}
    near = difflib.get_close_matches(_plain(word), plain, n=1)
    return plain[near[0]] if near else None


def did_you_mean(word: str, allowed: Iterable[str], *, before: str = "") -> str:
    """`did you mean 'x'?` for the nearest of the allowed words, after `before` (such as `"; "`); or nothing."""
    near = nearest(word, allowed)
    return "" if near is None else f"{before}did you mean '{near}'?"


def plural(count: int, singular: str, many: str | None = None) -> str:
    """`1 fault`, `1,204 faults`."""
    return f"{count:,} {singular if count == 1 else many or singular + 's'}"


def unique_names(names: Sequence[str]) -> tuple[str, ...]:
    """The names in their order, those that occur more than once numbered: crash-1, crash-2."""
    counts = Counter(names)
    taken = {name for name, count in counts.items() if count == 1}
    seen: Counter[str] = Counter()
    unique = []
    for name in names:
        if counts[name] == 1:
            unique.append(name)
            continue
        seen[name] += 1
        while f"{name}-{seen[name]}" in taken:
            seen[name] += 1
        unique.append(f"{name}-{seen[name]}")
    return tuple(unique)


def describe_error(error: BaseException) -> str:
    """One line: the type of the error, its message, and the place where it was raised (`describe_place`)."""
    frames = [
        (frame.f_code.co_filename, line, frame.f_code.co_name)
        for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    where = f" ({describe_place(frames[::-1])})" if frames else ""
    message = str(error)
    return f"{type(error).__name__}{f': {message}' if message else ''}{where}"


def caller_place() -> str:
    """Where the code that called the harness is (`describe_place`)."""
    return describe_place(
        (frame.f_code.co_filename, line, frame.f_code.co_name)
        for frame, line in traceback.walk_stack(sys._getframe(1))
    )


def describe_place(frames: Iterable[tuple[str, int, str]]) -> str:
    """`shop.py:41, in home`: the innermost of the frames (file, line, function) that is in the code of a user, rather
    than in a library or in the harness. Without one, the innermost outside of the harness, or the innermost."""
    frames = list(frames)
    file, line, name = min(frames, key=lambda frame: _rank(frame[0]))
    return f"{display_path(Path(file))}:{line}, in {name}"


@cache
def _rank(file: str) -> int:
    """0: the code of a user; 1: a library; 2: the harness or the interpreter."""
    import sysconfig

    path = Path(file)
    if file.startswith("<") or path.is_relative_to(Path(__file__).parent):
        return 2
    libraries = (sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib"))
    return 1 if any(path.is_relative_to(library) for library in libraries) else 0


def quote(value: object, max_length: int = 60) -> str:
    """A YAML value as its writer knows it, on one line: text in quotes, a mapping or list by its kind."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a mapping" if value else "an empty mapping"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    text = str(value).splitlines()[0] if isinstance(value, str) and value else str(value)
    text = text if len(text) <= max_length else text[: max_length - 3] + "..."
    return f"'{text}'" if isinstance(value, str) else text


def shorten(text: str, max_length: int) -> str:
    """The text, cut to `max_length` characters; the last of them is then `…`."""
    return text if len(text) <= max_length else text[: max_length - 1] + "…"


def display_path(file: Path) -> str:
    """A path as a person would type it: relative to the working directory where it lies below it."""
    try:
        return file.resolve().relative_to(Path.cwd()).as_posix()
    except ValueError:
        return file.as_posix()


def _plain(word: str) -> str:
    return word.lower().replace("_", "-").replace(" ", "-").strip("-")
