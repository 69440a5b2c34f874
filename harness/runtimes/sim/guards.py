"""What makes a run in one process the same every time, whatever ran before it.

asyncio's part is in `loop` (tasks hashed by creation, no threads). aiohttp 3.x reads the machine's clock and
the process's random numbers at a few places; for the time of a run they read the loop's clock and the run's
seed. Each place is checked first: when a new aiohttp has moved one, the run is refused, not quietly random.
"""

from __future__ import annotations

import gc
import importlib
import os
import random
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import aiohttp

EPOCH_S = 1_767_225_600.0
"""The wall clock when a run begins: 2026-01-01T00:00:00Z."""


class GuardError(RuntimeError):
    """A library has no longer the place where its clock or randomness was replaced."""


class _VirtualTime:
    """Stands for the module `time` inside aiohttp."""

    def __init__(self, module: Any, now_s: Callable[[], float]) -> None:
        self._module = module
        self._now_s = now_s

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)

    def time(self) -> float:
        return EPOCH_S + self._now_s()

    def monotonic(self) -> float:
        return self._now_s()


class _SeededOs:
    """Stands for the module `os` inside aiohttp.client, which takes websocket keys from it."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def urandom(self, size: int) -> bytes:
        return self._rng.randbytes(size)


class _SeededUuid:
    """Stands for the module `uuid` inside aiohttp.multipart, which takes boundaries from it."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def __getattr__(self, name: str) -> Any:
        return getattr(uuid, name)

    def uuid4(self) -> uuid.UUID:
        return uuid.UUID(int=self._rng.getrandbits(128), version=4)


@contextmanager
def deterministic(now_s: Callable[[], float], seed: int) -> Iterator[None]:
    """Replace every source of time and randomness that code of a run could reach; put them back after."""
    rng = random.Random(f"{seed}/libraries")
    kept_random = random.getstate()
    numpy_random = getattr(sys.modules.get("numpy"), "random", None)
    kept_numpy = numpy_random.get_state() if numpy_random is not None else None
    undo: list[Callable[[], None]] = []
    try:
        for module_name, attribute, make in _places(now_s, rng):
            undo.append(_replace(module_name, attribute, make))
        undo.append(_replace_mask(rng))
        random.seed(rng.getrandbits(64))
        if numpy_random is not None:
            numpy_random.seed(rng.getrandbits(32))
        _settle_memory()
        yield
    finally:
        for step in reversed(undo):
            step()
        random.setstate(kept_random)
        if numpy_random is not None:
            numpy_random.set_state(kept_numpy)


type _Make = Callable[[Any], Any]


def _places(now_s: Callable[[], float], rng: random.Random) -> Iterator[tuple[str, str, _Make]]:
    yield "aiohttp.connector", "monotonic", lambda _: now_s
    yield "aiohttp.connector", "random", lambda _: rng
    yield "aiohttp.helpers", "time", lambda module: _VirtualTime(module, now_s)
    yield "aiohttp.helpers", "_cached_current_datetime", lambda _: None
    yield "aiohttp.cookiejar", "time", lambda module: _VirtualTime(module, now_s)
    yield "aiohttp.multipart", "uuid", lambda _: _SeededUuid(rng)
    yield "aiohttp.client", "os", lambda _: _SeededOs(rng)


def _replace(module_name: str, attribute: str, make: _Make) -> Callable[[], None]:
    try:
        module = importlib.import_module(module_name)
        kept = getattr(module, attribute)
    except (ImportError, AttributeError) as error:
        raise _moved(f"{module_name}.{attribute}") from error
    setattr(module, attribute, make(kept))
    return lambda: setattr(module, attribute, kept)


def _replace_mask(rng: random.Random) -> Callable[[], None]:
    """Websocket masks come from a default argument."""
    try:
        init = importlib.import_module("aiohttp._websocket.writer").WebSocketWriter.__init__
    except (ImportError, AttributeError) as error:
        raise _moved("aiohttp._websocket.writer.WebSocketWriter") from error
    names = init.__code__.co_varnames[: init.__code__.co_argcount]
    if init.__kwdefaults__ and "random" in init.__kwdefaults__:
        kept_keywords = init.__kwdefaults__
        init.__kwdefaults__ = {**kept_keywords, "random": rng}
        return lambda: setattr(init, "__kwdefaults__", kept_keywords)
    kept = init.__defaults__ or ()
    if "random" not in names[len(names) - len(kept) :]:
        raise _moved("WebSocketWriter.__init__(random=)")
    place = len(kept) - (len(names) - names.index("random"))
    init.__defaults__ = (*kept[:place], rng, *kept[place + 1 :])
    return lambda: setattr(init, "__defaults__", kept)


def _moved(place: str) -> GuardError:
    return GuardError(
        f"aiohttp {aiohttp.__version__} has no {place}: virtual time cannot be made deterministic with it; "
        "install the version of constraints.txt, or teach harness/runtimes/sim/guards.py the new place"
    )


_settled = False


def _settle_memory() -> None:
    """What was imported lives for ever: keep the collector from walking over it again in every run."""
    global _settled  # noqa: PLW0603 (once a process)
    if not _settled:
        _settled = True
        gc.collect()
        gc.freeze()
