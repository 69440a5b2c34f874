"""`simulate`: a system in virtual time for the length of one coroutine, for tests and notebooks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from harness.runtime.contract import RunSettings, Session
from harness.sim.runtime import SimRuntime
from harness.system import System


def simulate[T](
    system: System,
    body: Callable[[Session], Awaitable[T]],
    *,
    seed: int = 1,
    without: Iterable[str] = (),
) -> T:
    """Start the system in virtual time, await `body(session)` and return what it returns.

    `without`: safeguards that are switched off. Raises what `body` raises, NotReady where a node does not come up, and
    UsageError for unknown safeguards.
    """
    return SimRuntime().run(RunSettings(system, seed, frozenset(without)), body)
