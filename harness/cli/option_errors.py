"""What the option parser complains about, in the words of this command line."""

from __future__ import annotations

from typing import Any

TYPES = {"int": "a whole number", "float": "a number", "bool": "true or false"}


def describe_option_error(error: Any) -> tuple[str, ...]:
    """The lines for an exception of the option parser; none for any other exception."""
    if not hasattr(error, "format_message"):
        return ()
    message: str = error.format_message()
    if near := sorted(getattr(error, "possibilities", None) or ()):
        message = f"{error.message}; did you mean {' or '.join(near)}?"
    if (value := _describe_value(error)) is not None:
        message = value
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "harness"
    return message, f"see '{command} --help'"


def _describe_value(error: Any) -> str | None:
    """`--seed x: expected a whole number, 0 or more`, where a value is not of its option's type; else None."""
    param, cause = getattr(error, "param", None), error.__cause__
    if param is None or not hasattr(cause, "errors"):
        return None
    found = cause.errors()[0]
    bounds = _describe_bounds(param)
    expected = TYPES.get(found["type"].partition("_")[0])
    if expected is None and bounds:
        expected = TYPES["float" if isinstance(found["input"], float) else "int"]
    if expected is None:
        return None
    name = param.opts[0] if param.opts else param.name
    return f"{name} {found['input']}: expected {expected}{bounds}"


def _describe_bounds(param: Any) -> str:
    least, most = (getattr(param, name, None) for name in ("min", "max"))
    if least is None and most is None:
        return ""
    if most is None:
        return f", {least} or more"
    return f", {most} or less" if least is None else f" from {least} to {most}"
