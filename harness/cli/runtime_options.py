"""The options that set up the runtime, for every command that takes one: each is declared by its runtime."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any

import typer

from harness.engine.runtimes import DEFAULT, RUNTIMES, all_options, runtime_options
from harness.runtime.options import Option, RuntimeOptions


def takes_runtime(
    *, default: str | None = DEFAULT.name, only: str | None = None
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command `--runtime` and the options of every runtime, in place of its parameter `runtime`.

    The command gets one value, or None where `default` is None and `--runtime` was not given. `only`: the one runtime
    that the command is for; then there is no `--runtime`.
    """
    names = (only,) if only is not None else tuple(RUNTIMES)

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        own = list(inspect.signature(command).parameters.values())
        hints = typing.get_type_hints(command, include_extras=True)
        added = [] if only is not None else [_runtime_parameter(default)]
        added += [_parameter(option) for option in all_options(names)]
        parameters: list[inspect.Parameter] = []
        for one in own:
            if one.name == "runtime":
                parameters += added
            else:
                kind = inspect.Parameter.KEYWORD_ONLY
                parameters.append(one.replace(annotation=hints[one.name], kind=kind))

        @functools.wraps(command)
        def called(**arguments: Any) -> Any:
            name = only or arguments.pop("runtime")
            given = {option.name: arguments.pop(_python_name(option)) for option in all_options(names)}
            return command(runtime=_value(name, given, names), **arguments)

        # What typer looks at.
        called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        called.__annotations__ = {one.name: one.annotation for one in parameters}
        return called

    return decorate


def _value(name: str | None, given: Mapping[str, Any], names: Iterable[str]) -> RuntimeOptions | None:
    """Raises UsageError."""
    chosen = {option: value for option, value in given.items() if value not in (None, [])}
    if name is None and not chosen:
        return None
    return runtime_options(name or DEFAULT.name, chosen, allowed=names)


def _runtime_parameter(default: str | None) -> inspect.Parameter:
    what = ", or ".join(f"'{name}', {options.summary}" for name, options in RUNTIMES.items())
    otherwise = "" if default is not None else f" By default where each experiment says, or '{DEFAULT.name}'."
    option = typer.Option("--runtime", help=f"Where to run: {what}.{otherwise}")
    return _keyword("runtime", str | None if default is None else str, option, default)


def _parameter(option: Option) -> inspect.Parameter:
    kind: Any = str if option.min is None else int
    kind = list[kind] if option.many else kind
    names = [name for name, options in RUNTIMES.items() if option in options.options]
    given = typer.Option(
        f"--{option.name}",
        help=option.help,
        metavar=option.metavar,
        min=option.min,
        rich_help_panel=f"Options of --runtime {' or '.join(names)}",
    )
    return _keyword(_python_name(option), kind | None, given, None)


def _keyword(name: str, kind: Any, option: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, option]
    )


def _python_name(option: Option) -> str:
    return option.name.replace("-", "_")
