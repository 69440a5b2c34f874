"""Functions of Python that read clocks, entropy and facts of the machine: in a simulated process they are virtual.

Everywhere else (the harness, other threads, outside of a run) they are the real ones.
"""

from __future__ import annotations

import ctypes
import datetime
import gc
import os
import random
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import ModuleType
from typing import Any, ClassVar

from harness.sim.loop import SimLoop
from harness.sim.patching import DeterminismError
from harness.sim.process import Process
from harness.sim.threads import sleep_in_thread

EPOCH = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
"""The date and time when the loop begins."""

FIRST_PROCESS_NUMBER = 1000

entropy: ContextVar[random.Random] = ContextVar("harness_sim_entropy")
"""The stream behind `os.urandom` in a simulated process. Code in whose context it is not set is outside."""


class Active:
    """The run that is under way in this process of the machine. `process_numbers`: those that were asked for."""

    loop: ClassVar[SimLoop | None] = None
    process_numbers: ClassVar[dict[Process, int]] = {}
    generators: ClassVar[dict[Process, random.Random]] = {}
    """What the functions of the module `random` draw from, for each process that has used one."""


def virtual_inside(virtual: Callable[..., Any], real: Callable[..., Any]) -> Callable[..., Any]:
    """`virtual` for code of a simulated process, `real` for everything else."""

    def either(*args: Any, **kwargs: Any) -> Any:
        return (real if entropy.get(None) is None else virtual)(*args, **kwargs)

    return either


def _loop() -> SimLoop:
    # Not the loop of one run: a module that is imported during a run keeps what it finds.
    loop = Active.loop
    if loop is None:
        raise DeterminismError("code of a simulated process runs, but no run is under way")
    return loop


def _process() -> Process:
    process = Process.current()
    if process is None:
        raise DeterminismError("this code runs in no simulated process")
    return process


def now_s() -> float:
    return _loop().now_s


def wall_s() -> float:
    """Seconds since 1970, by the clock of the host."""
    process = Process.current()
    skew_s = None if process is None else process.machine.skew_s
    return EPOCH.timestamp() + _loop().now_s + (0.0 if skew_s is None else skew_s())


def _ns(clock: Callable[[], float]) -> Callable[..., int]:
    return lambda *_: int(clock() * 1e9)


def _clock(number: int) -> float:
    return wall_s() if number == time.CLOCK_REALTIME else now_s()


def _sleep(seconds: float) -> None:
    if not sleep_in_thread(seconds):
        raise _loop().refusal(
            "time.sleep, which blocks the whole simulation,", "`await host.clock.sleep(seconds)`"
        )


def _process_number() -> int:
    numbers = Active.process_numbers
    return numbers.setdefault(_process(), FIRST_PROCESS_NUMBER + len(numbers))


def _cores() -> int:
    return _process().machine.cores


def _generator() -> random.Random:
    process = _process()
    found = Active.generators.get(process)
    if found is None:
        # As Python does it: from the entropy of the process.
        found = Active.generators[process] = random.Random(entropy.get().getrandbits(256))
    return found


def _draw(name: str) -> Callable[..., Any]:
    def draw(*args: Any, **kwargs: Any) -> Any:
        return getattr(_generator(), name)(*args, **kwargs)

    return draw


_asctime, _strftime, _gmtime = time.asctime, time.strftime, time.gmtime


def _seconds_or_now(real: Callable[[float], Any]) -> Callable[..., Any]:
    return lambda seconds=None: real(wall_s() if seconds is None else seconds)


_FUNCTIONS: Mapping[ModuleType, Mapping[str, Callable[..., Any]]] = {
    time: {
        "sleep": _sleep,
        "time": wall_s,
        "time_ns": _ns(wall_s),
        **dict.fromkeys(("monotonic", "perf_counter", "process_time", "thread_time"), now_s),
        **dict.fromkeys(("monotonic_ns", "perf_counter_ns", "process_time_ns", "thread_time_ns"), _ns(now_s)),
        "clock_gettime": _clock,
        "clock_gettime_ns": lambda number: int(_clock(number) * 1e9),
        **{name: _seconds_or_now(getattr(time, name)) for name in ("gmtime", "localtime", "ctime")},
        "asctime": lambda moment=None: _asctime(_gmtime(wall_s()) if moment is None else moment),
        "strftime": lambda form, moment=None: _strftime(
            form, _gmtime(wall_s()) if moment is None else moment
        ),
    },
    os: {
        "urandom": lambda n: entropy.get().randbytes(n),
        "getpid": _process_number,
        "cpu_count": _cores,
        "process_cpu_count": _cores,
    },
    random: {
        name: _draw(name)
        for name, value in vars(random).items()
        if isinstance(getattr(value, "__self__", None), random.Random)
    },
    socket: {"gethostname": lambda: _process().machine.identity.name},
}

VIRTUAL: Mapping[tuple[str, str], Callable[..., Any]] = {
    (module.__name__, name): virtual_inside(function, getattr(module, name))
    for module, functions in _FUNCTIONS.items()
    for name, function in functions.items()
    if hasattr(module, name)
}
"""By module and name: what is put there for the time of a run."""

_REPLACED = {id(getattr(sys.modules[module], name)): function for (module, name), function in VIRTUAL.items()}
_OWN = frozenset((*sys.stdlib_module_names, "harness"))


class _Captured:
    """Where modules have imported functions of `VIRTUAL` by name (`from time import monotonic`)."""

    modules: ClassVar[dict[str, ModuleType]] = {}
    places: ClassVar[list[tuple[ModuleType, str, Callable[..., Any]]]] = []

    @classmethod
    def find(cls) -> None:
        """Look at modules that are new since the last run; those of Python and of the harness stay as they are."""
        for name, module in list(sys.modules.items()):
            if cls.modules.get(name) is module or not isinstance(module, ModuleType):
                continue
            cls.modules[name] = module
            if name.partition(".")[0] not in _OWN:
                found = list(vars(module).items())
                cls.places += [(module, key, value) for key, value in found if id(value) in _REPLACED]


@contextmanager
def captured_functions_replaced() -> Iterator[None]:
    """Make them virtual where modules have imported them by name, for the time of a run."""
    _Captured.find()
    # What something else has replaced since then is left alone.
    places = [
        (module, name, real) for module, name, real in _Captured.places if vars(module).get(name) is real
    ]
    for module, name, real in places:
        setattr(module, name, _REPLACED[id(real)])
    try:
        yield
    finally:
        for module, name, real in places:
            setattr(module, name, real)


@contextmanager
def virtual_dates() -> Iterator[None]:
    """Make `datetime.now` and `utcnow` virtual, and the time zone UTC.

    Everybody holds a reference to the type, which code cannot change: its dictionary is changed past it.
    """

    def now(cls: type[datetime.datetime], tz: datetime.tzinfo | None = None) -> datetime.datetime:
        return real["now"](cls, tz) if entropy.get(None) is None else cls.fromtimestamp(_date_s(), tz)

    def utcnow(cls: type[datetime.datetime]) -> datetime.datetime:
        if entropy.get(None) is None:
            return real["utcnow"](cls)
        return cls.fromtimestamp(_date_s(), datetime.UTC).replace(tzinfo=None)

    (names,) = (one for one in gc.get_referents(datetime.datetime.__dict__) if isinstance(one, dict))
    before = {"now": names["now"], "utcnow": names["utcnow"]}
    real = {name: _unbound(method) for name, method in before.items()}

    def change(functions: Mapping[str, Any]) -> None:
        names.update(functions)
        ctypes.pythonapi.PyType_Modified(ctypes.py_object(datetime.datetime))

    zone = os.environ.get("TZ")
    change({"now": classmethod(now), "utcnow": classmethod(utcnow)})
    os.environ["TZ"] = "UTC"
    time.tzset()
    try:
        yield
    finally:
        change(before)
        del os.environ["TZ"]
        if zone is not None:
            os.environ["TZ"] = zone
        time.tzset()


def _unbound(method: Any) -> Callable[..., datetime.datetime]:
    return lambda cls, *args: method.__get__(None, cls)(*args)


def _date_s() -> float:
    # As `host.clock.wall`, to the microsecond.
    return (EPOCH + datetime.timedelta(seconds=wall_s() - EPOCH.timestamp())).timestamp()


@contextmanager
def seeded_generators() -> Iterator[None]:
    """Seed generators that are made without a seed from the entropy of the host."""
    real = random.Random.seed

    def seed(self: random.Random, a: Any = None, version: int = 2) -> None:
        if a is None and (own := entropy.get(None)) is not None:
            a = own.getrandbits(256)
        real(self, a, version)

    random.Random.seed = seed  # type: ignore[method-assign]
    try:
        yield
    finally:
        random.Random.seed = real  # type: ignore[method-assign]
