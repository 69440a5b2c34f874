"""The runtimes by name. A further one is an entry here.

Importing this is cheap: the command line takes the options of the runtimes from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from harness.errors import UsageError
from harness.live.options import LiveOptions
from harness.runtime.options import Option, RuntimeOptions
from harness.sim.options import SimOptions

RUNTIMES: Mapping[str, type[RuntimeOptions]] = {SimOptions.name: SimOptions, LiveOptions.name: LiveOptions}

DEFAULT: RuntimeOptions = SimOptions()
"""What experiments run in where nobody says otherwise."""


def runtime_options(
    name: str, given: Mapping[str, Any], *, allowed: Iterable[str] = RUNTIMES, prefix: str = "--"
) -> RuntimeOptions:
    """The options of the runtime of that name, from what was given on a command line.

    `allowed`: the runtimes that can be asked for. `prefix`: what options begin with, for messages. Raises UsageError
    with every problem that can be seen without asking the machine.
    """
    if name not in RUNTIMES or name not in allowed:
        raise UsageError([f"{prefix}runtime {name}: use {_either(allowed)}"])
    problems = []
    for option in all_options():
        if (value := given.get(option.name)) is None:
            continue
        shown = f"{prefix}{option.name}" + ("" if option.many else f" {value}")
        if option not in RUNTIMES[name].options:
            others = [other for other in allowed if option in RUNTIMES[other].options]
            problems.append(f"{shown}: needs {prefix}runtime {_either(others)}")

        elif option.choices and value not in option.choices:
            problems.append(f"{shown}: use {_either(option.choices)}")
    if problems:
        raise UsageError(problems)
    return RUNTIMES[name].from_arguments(given)


def all_options(names: Iterable[str] = RUNTIMES) -> tuple[Option, ...]:
    """The options of these runtimes, each once."""
    return tuple(dict.fromkeys(option for name in names for option in RUNTIMES[name].options))


def _either(words: Iterable[str]) -> str:
    return " or ".join(words)
