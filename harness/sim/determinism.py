"""The patches that make one Python process deterministic for the time of a run.

Virtual time decides when things happen. The patches decide the rest: the clocks, the entropy and the orders that
libraries take from the machine (found with aiohttp 3.14 and Python 3.13).

* Inside a simulated process (and only there) the clocks of `time` and `datetime` are virtual, in UTC; `os.urandom`, and
  with it `uuid`, `secrets`, `SystemRandom` and generators without a seed, comes from that host's own stream; the host's
  name, process number and cores are those of the node (`harness.sim.virtual_functions`).
* In aiohttp: the `Date` header, cookie expiry, the age of idle connections, the order in which waiting
  requests get a freed connection, web socket masks, whether headers and body are written as one, and the
  resolver. Time-outs are exact: aiohttp rounds those above 5 s up to a whole second of the loop, which adds a
  different amount in every phase.
* Sets of objects are iterated in the order of their addresses. Tasks are hashed by creation (`SimTask`,
  also where aiohttp makes `asyncio.Task` by itself), and the sets that asyncio and aiohttp iterate keep the
  order of insertion. Responses of a server, web sockets too, are hashed in the order in which they first are.
* The garbage collector runs at set points (`Collector`), since what it frees may close connections.

Not patched, because it cannot be: the order of sets of strings (PYTHONHASHSEED) and of objects without `__hash__`.
Threads: `harness.sim.threads`. What is refused: `harness.sim.boundary`.

`determinism_patches` fails at once when a library has moved a patch point: see `DeterminismError`.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import itertools
import random
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import ModuleType
from typing import Any, ClassVar

from harness.sim.boundary import closed_boundary
from harness.sim.loop import SimLoop, SimTask
from harness.sim.patching import DeterminismError, PatchPoint, moved, patch
from harness.sim.virtual_functions import (
    VIRTUAL,
    Active,
    captured_functions_replaced,
    entropy,
    seeded_generators,
    virtual_dates,
    wall_s,
)
from harness.system.streams import stream


class OrderedSet(dict[Any, None]):
    """A set that keeps the order of insertion, for libraries that iterate a set of objects."""

    def __init__(self, items: Iterable[Any] = ()) -> None:
        super().__init__(dict.fromkeys(items))

    def add(self, item: Any) -> None:
        self[item] = None

    def discard(self, item: Any) -> None:
        dict.pop(self, item, None)

    def remove(self, item: Any) -> None:
        del self[item]


class Collector:
    """Collects garbage after a fixed number of requests, not when the allocator decides.

    A request leaves a few objects in cycles: a few MB between two collections, which take 2 % of the CPU time.
    """

    YOUNG_EVERY = 1024
    FULL_EVERY = 8192

    def __init__(self) -> None:
        self.requests = 0

    def served(self) -> None:
        """A request has come to a service somewhere in the simulation."""
        self.requests += 1
        if not self.requests % self.YOUNG_EVERY:
            gc.collect(2 if not self.requests % self.FULL_EVERY else 1)


@contextmanager
def determinism_patches(loop: SimLoop, seed: int) -> Iterator[Collector]:
    """Make this process deterministic for one run on `loop`. All patches are undone at the end.

    Raises DeterminismError when a library does not look as expected, or when a run is under way already (the
    patches change the whole process: run in parallel with processes).
    """
    if Active.loop is not None:
        raise DeterminismError(
            "another simulated run is under way in this process; run one after the other, or use processes"
        )
    Active.loop, Active.process_numbers, Active.generators = loop, {}, {}
    try:
        with ExitStack() as undo:
            for point, value in _patches(loop, seed).items():
                undo.callback(patch(point, value))
            undo.callback(_patch_websocket_masks(seed))
            undo.callback(_hash_responses_in_order())
            undo.callback(_seed_global_generators(seed))
            undo.callback(_disable_collection())
            undo.enter_context(captured_functions_replaced())
            undo.enter_context(virtual_dates())
            undo.enter_context(seeded_generators())
            undo.enter_context(loop.threads.installed())
            undo.enter_context(closed_boundary(loop))
            yield Collector()
    finally:
        Active.loop = None


class _Collection:
    frozen: ClassVar[bool] = False


# ---------------------------------------------------------------------- what is replaced


def _patches(loop: SimLoop, seed: int) -> Mapping[PatchPoint, Any]:
    common = stream(seed, "guards")  # a new label would change every run
    connector, helpers, tasks = "aiohttp.connector", "aiohttp.helpers", "asyncio.tasks"
    wall_module = _Module(time, time=wall_s, time_ns=lambda: int(wall_s() * 1e9))
    points: dict[PatchPoint, Any] = {
        PatchPoint(connector, "monotonic", ("BaseConnector._get", "BaseConnector._release")): loop.time,
        PatchPoint(connector, "random", ("BaseConnector._release_waiter",)): _Module(
            random, shuffle=lambda items: entropy.get(common).shuffle(items)
        ),
        PatchPoint(connector, "set", ("BaseConnector.__init__",), shadows=True): OrderedSet,
        PatchPoint(connector, "DefaultResolver", ("TCPConnector.__init__",)): _threaded_resolver(),
        PatchPoint("aiohappyeyeballs.impl", "set", ("start_connection",), shadows=True): OrderedSet,
        PatchPoint(helpers, "time", ("rfc822_formatted_time",)): wall_module,
        PatchPoint(
            helpers, "ceil", ("ceil_timeout", "calculate_timeout_when", "TimeoutHandle.start")
        ): _unrounded,
        # Python before 3.13.2 (3.12.9) has a defect in its own writelines, for which aiohttp joins headers and
        # body there. Our transport has none, and what arrives when must not depend on the release.
        PatchPoint("aiohttp.http_writer", "SKIP_WRITELINES", ("StreamWriter._writelines",)): False,
        PatchPoint(
            "aiohttp.cookiejar", "time", ("CookieJar._do_expiration", "CookieJar._update_cookies")
        ): wall_module,
        PatchPoint(tasks, "set", ("wait",), shadows=True): _ordered_set,
        PatchPoint("asyncio", "Task"): SimTask,
        PatchPoint("random", "_urandom", ("SystemRandom.getrandbits",)): VIRTUAL["os", "urandom"],
    }
    for (module, name), function in VIRTUAL.items():
        points[PatchPoint(module, name)] = function
    # What modules of Python have imported by name, for the time-outs of threads.
    points[PatchPoint("threading", "_time")] = points[PatchPoint("queue", "time")] = VIRTUAL[
        "time", "monotonic"
    ]
    # uuid1: from the virtual clock, and from no device.
    points[PatchPoint("uuid", "_generate_time_safe")] = points[PatchPoint("uuid", "_last_timestamp")] = None
    points[PatchPoint("uuid", "_node")] = 0x02_00_00_00_00_01
    return points


def _unrounded(value: float) -> float:
    return value


def _ordered_set(items: Iterable[Any] = ()) -> Any:
    """What `asyncio.wait` and `as_completed` make of their arguments, in the order they were given."""
    given = list(dict.fromkeys(items))
    return given or set()


def _threaded_resolver() -> type:
    from aiohttp.resolver import ThreadedResolver

    return ThreadedResolver


class _Module:
    """A module with some of its functions replaced, for one importer of it."""

    def __init__(self, real: ModuleType, **replaced: Callable[..., Any]) -> None:
        self.__dict__.update(replaced)
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def _hash_responses_in_order() -> Callable[[], None]:
    """Responses and web sockets of a server are kept in sets (`WeakSet`, in aiohttp's documentation): they are hashed
    in the order in which they first are, not by their address."""
    from aiohttp.web import StreamResponse

    point = PatchPoint("aiohttp.web_response", "StreamResponse")
    if "__hash__" not in vars(StreamResponse):
        raise moved(point, "StreamResponse has no __hash__ of its own")
    before, numbers = StreamResponse.__hash__, itertools.count(1)

    def ordered(self: Any) -> int:
        number: int | None = vars(self).get("_harness_number")
        if number is None:
            number = vars(self)["_harness_number"] = next(numbers)
        return number

    StreamResponse.__hash__ = ordered  # type: ignore[method-assign]
    return lambda: setattr(StreamResponse, "__hash__", before)


def _patch_websocket_masks(seed: int) -> Callable[[], None]:
    """Masks come from a generator that is a default argument, made when aiohttp was imported."""
    from aiohttp.http_websocket import WebSocketWriter

    defaults: dict[str, Any] | None = WebSocketWriter.__init__.__kwdefaults__
    point = PatchPoint("aiohttp.http_websocket", "WebSocketWriter")
    if defaults is None or not isinstance(defaults.get("random"), random.Random):
        raise moved(point, "WebSocketWriter.__init__ has no default argument 'random'")
    before = defaults["random"]
    common = stream(seed, "websocket masks")
    defaults["random"] = _Module(random, getrandbits=lambda bits: entropy.get(common).getrandbits(bits))
    return lambda: defaults.__setitem__("random", before)


def _seed_global_generators(seed: int) -> Callable[[], None]:
    """Seed the generators of the modules `random` and `numpy.random`, for systems that use them."""
    before = random.getstate()
    random.seed(seed)
    if "numpy" not in sys.modules:
        return lambda: random.setstate(before)
    # NumPy imports it when it is first looked at, and draws entropy then: not in the middle of the first run.
    numpy_random = importlib.import_module("numpy.random")
    numpy_before = numpy_random.get_state()
    numpy_random.seed(seed % 2**32)

    def restore() -> None:
        random.setstate(before)
        numpy_random.set_state(numpy_before)

    return restore


def _disable_collection() -> Callable[[], None]:
    """No automatic collection; and what was imported is never looked at again (once in a process)."""
    if not _Collection.frozen:
        gc.collect()
        gc.freeze()
        # What is frozen is not cleaned up at exit, which extension modules (DuckDB's) complain about.
        atexit.register(gc.unfreeze)
        _Collection.frozen = True
    if not gc.isenabled():
        return lambda: None
    gc.disable()
    return gc.enable
