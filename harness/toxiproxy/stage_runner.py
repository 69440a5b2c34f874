"""One toxic at work on one direction of one connection: the input it reads, the output it writes.

A toxic's `pipe` (harness/toxiproxy/toxics) runs as a task. It is interrupted, never cancelled, when its toxic
is updated or removed, so that no data is lost: whatever it holds it writes, or puts back.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from harness.toxiproxy.chunk import Chunk, End, Outlet
from harness.toxiproxy.clock import Clock
from harness.toxiproxy.errors import ToxicError
from harness.toxiproxy.rate_limiter import RateLimiter, RateLimiters
from harness.toxiproxy.toxic import Toxic

_CHUNKS = 1 << 16  # a limit on tiny chunks, whose objects weigh more than their bytes

log = logging.getLogger("harness.toxiproxy")


class StageRunner:
    """What a toxic sees: `receive` (or `async for`), `write`, `wait_s`, `put_back`, `close`, `reset`.

    Args:
        following: where the output goes; changed when toxics come and go.
        rng: random numbers of this toxic on this direction of this connection.
        clock: what its waits are measured with.
        rate_limiters: what is shared by name with other connections.
        spawn: starts a task that its owner will wait for.
        gone: called when the stage has been removed and its input has been passed on.
        broken: called when the toxic raised.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        toxic: Toxic,
        following: Outlet,
        rng: random.Random,
        *,
        clock: Clock,
        rate_limiters: RateLimiters,
        spawn: Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]],
        gone: Callable[[StageRunner], None],
        broken: Callable[[], None],
    ) -> None:
        self.toxic = toxic
        self.following = following
        self.rng = rng
        self.memory: dict[str, float] = {}
        """What a toxic must not forget when it is updated, such as the bytes that have passed."""
        self.leaving = False
        self._loop = loop
        self._clock = clock
        self._rate_limiters = rate_limiters
        self._rate_limiter: tuple[str, RateLimiter] | None = None
        self._gone = gone
        self._broken = broken
        self._items: deque[Chunk] = deque()
        self._size = 0
        self._end: End | None = None
        self._ended_s = 0.0
        self._interrupted = False
        self._closed = False
        self._waiter: asyncio.Future[None] | None = None
        self._room: Callable[[], object] | None = None
        self._task = spawn(self._run(), f"toxic {toxic.name}")

    # What a toxic uses.

    @property
    def interrupted(self) -> bool:
        """The toxic was updated or removed: `pipe` must return, without losing data."""
        return self._interrupted

    @property
    def ended(self) -> bool:
        """All data was received and no more will come."""
        return self._end is not None and not self._items

    @property
    def ended_s(self) -> float:
        """When the end arrived here, if it has."""
        return self._ended_s

    @property
    def source_ended(self) -> bool:
        """No more data will arrive, although some may still wait to be received."""
        return self._end is not None

    @property
    def now_s(self) -> float:
        """The clock of the server: seconds, monotonic."""
        return self._clock.time()

    async def receive(self, within_s: float | None = None) -> Chunk | None:
        """The next chunk; None when interrupted, when ended, or when none came within the time."""
        until = None if within_s is None else self.now_s + within_s
        while not self._interrupted:
            if self._items:
                chunk = self._items.popleft()
                self._size -= len(chunk.data)
                self._tell_room()
                return chunk
            if self._end is not None or (until is not None and self.now_s >= until):
                return None
            await self._woken(until)
        return None

    def __aiter__(self) -> StageRunner:
        return self

    async def __anext__(self) -> Chunk:
        chunk = await self.receive()
        if chunk is None:
            raise StopAsyncIteration
        return chunk

    async def write(self, data: bytes, at_s: float | None = None) -> None:
        """Pass data on, then wait while the next toxic or the socket has enough.

        `at_s`: when the next toxic shall think that it arrived; now if not given.
        """
        if data:
            self.following.put(Chunk(data, self.now_s if at_s is None else at_s))
        while self.following.full and not self._interrupted:
            self.following.when_room(self._wake)
            await self._woken(None)

    async def wait_until(self, at_s: float | None) -> bool:
        """Wait for that time of the clock (None: for ever). False when interrupted before."""
        while not self._interrupted and (at_s is None or self.now_s < at_s):
            await self._woken(at_s)
        return not self._interrupted

    async def wait_for_end(self) -> bool:
        """Wait until the source has ended, keeping what was not received. False when interrupted before."""
        while not self._interrupted and self._end is None:
            await self._woken(None)
        return not self._interrupted

    def rate_limiter(self, name: str) -> RateLimiter:
        """The rate limiter of that name, which all connections of this server share; with no name, this stage's own.
        The same one after an update."""
        if self._rate_limiter is None or self._rate_limiter[0] != name:
            self._rate_limiter = (name, self._rate_limiters.named(name))
        return self._rate_limiter[1]

    def put_back(self, chunk: Chunk) -> None:
        """Return a chunk that was not written: it is the next to be received, or passes as the toxic goes."""
        self._items.appendleft(chunk)
        self._size += len(chunk.data)

    def close(self) -> None:
        """Close the connection cleanly, behind what was written so far. Later data is dropped."""
        self._conclude(End.CLOSE)

    def reset(self) -> None:
        """Reset the connection. Later data is dropped."""
        self._conclude(End.RESET)

    # What the direction uses (it is the Outlet of whatever comes before).

    @property
    def full(self) -> bool:
        if self._closed:
            return False
        return self._size >= self.toxic.behaviour.BUFFER_BYTES or len(self._items) >= _CHUNKS

    def put(self, item: Chunk | End) -> None:
        if self._closed:
            return
        if isinstance(item, End):
            if self._end is None:
                self._end, self._ended_s = item, self._clock.time()
        else:
            self._items.append(item)
            self._size += len(item.data)
        self._wake()

    def when_room(self, call: Callable[[], object]) -> None:
        self._room = call

    def interrupt(self) -> None:
        """The toxic has changed: begin again with its new behaviour."""
        self._interrupted = True
        self._wake()

    def leave(self) -> None:
        """The toxic is no more: pass on what is held, then be gone."""
        self.leaving = True
        if self._task.done():
            self._gone(self)
        else:
            self.interrupt()

    def stop(self) -> None:
        """The connection is closed: drop everything."""
        self._closed = True
        self._room = None
        self._task.cancel()

    async def _run(self) -> None:
        try:
            while not self._closed:
                self._interrupted = self.leaving
                if not self.leaving:
                    await self.toxic.behaviour.pipe(self)
                if self.leaving:
                    if not self._closed:
                        self.toxic.behaviour.removed(self)
                    self._hand_over()
                    return
                if not self._closed and not self._interrupted and self.ended:
                    self._pass_end()
                    return
                if not self._closed and not self._interrupted:
                    raise ToxicError(f"toxic {self.toxic.name}: pipe() returned in the middle of the data")
        except Exception:
            log.exception("toxic %s failed: its connection is closed", self.toxic.name)
            self._broken()

    def _hand_over(self) -> None:
        while self._items:
            self.following.put(self._items.popleft())
        self._size = 0
        if self._end is not None and not self._closed:
            self._pass_end()
        self._gone(self)
        self._tell_room()

    def _pass_end(self) -> None:
        assert self._end is not None
        self.following.put(self._end)

    def _conclude(self, end: End) -> None:
        if not self._closed:
            self._closed = True
            self._items.clear()
            self._size = 0
            self.following.put(end)
            self._tell_room()

    def _tell_room(self) -> None:
        if self._room is not None and (self.leaving or not self.full):
            call, self._room = self._room, None
            call()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _woken(self, until_s: float | None) -> None:
        self._waiter = waiter = self._loop.create_future()
        timer = None if until_s is None else self._clock.call_at(until_s, self._wake)
        try:
            await waiter
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()
