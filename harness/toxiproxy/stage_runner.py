"""One toxic on one direction of one connection: the input it reads, the output it writes, and its coroutine.

The `pipe` of a toxic (harness/toxiproxy/toxics) is interrupted, never cancelled, when its toxic is updated or
removed, so that no data is lost: it writes what it holds, or puts it back.

Most toxics wait for their stage only. Their coroutine is resumed in the callback that brings data, room or time,
which saves a task and a turn of the loop for every chunk. Toxics that set `NEEDS_TASK` run as a task.
"""

from __future__ import annotations

import asyncio
import logging
import random
import types
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from typing import Any

from harness.toxiproxy.chunk import Chunk, End, Outlet
from harness.toxiproxy.context import BULK_BYTES, ServerContext
from harness.toxiproxy.errors import ToxicError
from harness.toxiproxy.rate_limiter import RateLimiter
from harness.toxiproxy.toxic import Toxic

_MAX_CHUNKS = 1 << 16  # tiny chunks weigh more than their bytes
_MAX_NESTED = 16  # stages that resume one another in one callback
_MAX_AFTER_INTERRUPT = 100_000  # operations: a toxic that goes on for longer does not stop at all

log = logging.getLogger("harness.toxiproxy")


@types.coroutine
def _suspend() -> Generator[None, None, None]:
    yield


class StageRunner:
    """Implements `harness.toxiproxy.toxics.Stage`; it is the Outlet of whatever comes before it.

    Nothing passes behind an end: once a stage has one, later data is dropped.

    Args:
        following: where the output goes; changed when toxics come and go.
        rng: random numbers of this toxic on this direction of this connection.
        on_gone: called when the stage was removed and its input has been passed on.
        on_failure: called when the toxic raised.
    """

    def __init__(
        self,
        context: ServerContext,
        toxic: Toxic,
        following: Outlet,
        rng: random.Random,
        *,
        on_gone: Callable[[StageRunner], None],
        on_failure: Callable[[], None],
    ) -> None:
        self.toxic = toxic
        self.following = following
        self.rng = rng
        self.memory: dict[str, float] = {}
        self.leaving = False
        self._context = context
        self._clock = context.clock
        self._share = context.budget.share()
        self._limiter: tuple[str, RateLimiter] | None = None
        self._on_gone = on_gone
        self._on_failure = on_failure
        self._items: deque[Chunk] = deque()
        self._size = 0
        self._end: End | None = None
        self._ended_s = 0.0
        self._abandoned = False
        self._interrupted = False
        self._after_interrupt = 0
        self._concluded = False
        self._stopped = False
        self._finished = False
        self._receiving = False
        self._room: Callable[[], object] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._parked = False
        self._scheduled = True
        self._task: asyncio.Task[None] | None = None
        self._coroutine: Coroutine[Any, Any, None] | None = None
        if toxic.behaviour.NEEDS_TASK:
            self._task = context.spawn(self._run(), f"toxic {toxic.name}")
        else:
            self._coroutine = self._run()
            context.loop.call_soon(self._resume)

    # What a toxic uses: documented in harness/toxiproxy/toxics/stage.py.

    @property
    def interrupted(self) -> bool:
        return self._interrupted

    @property
    def ended(self) -> bool:
        return self._end is not None and not self._items

    @property
    def ended_s(self) -> float:
        return self._ended_s

    @property
    def now_s(self) -> float:
        return self._clock.time()

    async def receive(self, within_s: float | None = None) -> Chunk | None:
        if self._share.spend():
            await self._yield()
        until_s = None if within_s is None else self._clock.time() + within_s
        while not self._interrupted and not self._concluded:
            if self._items:
                chunk = self._items.popleft()
                self._size -= len(chunk.data)
                if self._room is not None:
                    self._signal_room()
                return chunk
            if self._end is not None or (until_s is not None and self._clock.time() >= until_s):
                return None
            self._receiving = True
            try:
                await self._wait(until_s)
            finally:
                self._receiving = False
        if self._interrupted:
            self._count_after_interrupt()
        return None

    def __aiter__(self) -> StageRunner:
        return self

    async def __anext__(self) -> Chunk:
        chunk = await self.receive()
        if chunk is None:
            raise StopAsyncIteration
        return chunk

    async def write(self, data: bytes, at_s: float | None = None) -> None:
        if data and not self._concluded:
            self.following.put(Chunk(data, self._clock.time() if at_s is None else at_s))
        while self.following.full and not self._interrupted:
            self.following.when_room(self._wake)
            await self._wait(None)
        if self._interrupted:
            self._count_after_interrupt()
        if self._share.spend():
            await self._yield()

    async def wait_until(self, at_s: float | None) -> bool:
        while not self._interrupted and not self._concluded and (at_s is None or self._clock.time() < at_s):
            await self._wait(at_s)
        if self._interrupted:
            self._count_after_interrupt()
        if self._share.spend():
            await self._yield()
        return not self._interrupted and not self._concluded

    def rate_limiter(self, name: str) -> RateLimiter:
        if self._limiter is None or self._limiter[0] != name:
            self._limiter = (name, self._context.rate_limiters.named(name))
        return self._limiter[1]

    def put_back(self, chunk: Chunk) -> None:
        if not self._concluded:
            self._items.appendleft(chunk)
            self._size += len(chunk.data)

    def close(self) -> None:
        self._conclude(End.CLOSE)

    def reset(self) -> None:
        self._conclude(End.RESET)

    # What the relay uses.

    @property
    def full(self) -> bool:
        if self._concluded or self._end is not None:
            return False  # what follows is dropped, and reading it shows how the source ends
        return self._size >= self.toxic.behaviour.BUFFER_BYTES or len(self._items) >= _MAX_CHUNKS

    def put(self, item: Chunk | End) -> None:
        if self._concluded or self._stopped or self._end is not None:
            return
        if isinstance(item, End):
            self._end, self._ended_s = item, self._clock.time()
            self._wake()
            return
        self._items.append(item)
        self._size += len(item.data)
        if self._size > BULK_BYTES:
            self._context.held_bulk = True
        if self._receiving:
            self._wake()

    def when_room(self, call: Callable[[], object]) -> None:
        self._room = call

    def abandon(self) -> None:
        """The other direction is finished."""
        self._abandoned = True
        if not self._concluded and not self.leaving and not self._finished:
            self.toxic.behaviour.abandoned(self)

    def interrupt(self) -> None:
        """The toxic was updated: begin again with its new behaviour."""
        self._interrupted = True
        self._wake()

    def leave(self) -> None:
        """The toxic was removed: pass on what is held, then be gone."""
        self.leaving = True
        if self._finished:
            self._on_gone(self)
        else:
            self.interrupt()

    def stop(self) -> None:
        """The connection is closed: drop everything."""
        self._stopped = self._concluded = True
        self._room = None
        self._items.clear()
        if self._task is not None:
            self._task.cancel()
        elif self._parked and self._coroutine is not None:
            self._parked = False
            self._coroutine.close()
        # Otherwise it runs now, or is about to be resumed: `_resume` ends it.

    # Running the toxic.

    async def _run(self) -> None:
        try:
            while not self._concluded:
                self._interrupted = self.leaving
                self._after_interrupt = 0
                if self._abandoned and not self.leaving:
                    self.toxic.behaviour.abandoned(self)
                if not self.leaving and not self._concluded:
                    await self.toxic.behaviour.pipe(self)
                if self.leaving:
                    if not self._concluded:
                        self.toxic.behaviour.removed(self)
                    await self._hand_over()
                    return
                if self._concluded or self._interrupted:
                    continue
                if not self.ended:
                    raise ToxicError(f"toxic {self.toxic.name}: pipe() returned in the middle of the data")
                self._pass_end()
                return
        except Exception:
            log.exception("toxic %s failed: its connection is closed", self.toxic.name)
            self._on_failure()
        finally:
            self._finished = True

    async def _hand_over(self) -> None:
        while self._items:
            chunk = self._items.popleft()
            self._size -= len(chunk.data)
            self.following.put(chunk)
            if self._share.spend():
                await self._yield()
        if self._end is not None and not self._concluded:
            self._pass_end()
        if not self._stopped:
            self._finished = True
            self._on_gone(self)
            self._signal_room()

    def _pass_end(self) -> None:
        assert self._end is not None
        self.following.put(self._end)

    def _conclude(self, end: End) -> None:
        if not self._concluded:
            self._concluded = True
            self._items.clear()
            self._size = 0
            self.following.put(end)
            self._signal_room()
            self._wake()

    def _signal_room(self) -> None:
        if self._room is not None and (self.leaving or not self.full):
            call, self._room = self._room, None
            call()

    def _count_after_interrupt(self) -> None:
        self._after_interrupt += 1
        if self._after_interrupt > _MAX_AFTER_INTERRUPT:
            raise ToxicError(f"toxic {self.toxic.name}: pipe() does not return when it is interrupted")

    # Waiting.

    def _wake(self) -> None:
        if self._parked:
            self._parked = False
            self._resume()
        elif self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _wait(self, until_s: float | None) -> None:
        timer = None if until_s is None else self._clock.call_at(until_s, self._wake)
        try:
            if self._task is None:
                self._parked = True
                await _suspend()
            else:
                self._waiter = self._context.loop.create_future()
                await self._waiter
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()
        self._share.begin()

    async def _yield(self) -> None:
        """Let the loop do everything else first."""
        budget = self._context.budget
        budget.yielding += 1
        try:
            if self._task is None:
                self._scheduled = True
                self._context.loop.call_soon(self._resume)
                await _suspend()
            else:
                await asyncio.sleep(0)
        finally:
            budget.yielding -= 1
        self._share.begin()

    def _resume(self) -> None:
        """Run the coroutine until it waits again."""
        context, coroutine = self._context, self._coroutine
        assert coroutine is not None
        if self._stopped:
            coroutine.close()
            return
        if context.nested >= _MAX_NESTED:
            context.loop.call_soon(self._resume)
            return
        context.nested += 1
        self._scheduled = False
        try:
            coroutine.send(None)
            if not self._parked and not self._scheduled:
                coroutine.throw(
                    ToxicError(
                        f"toxic {self.toxic.name}: pipe() awaits more than its stage; set NEEDS_TASK = True"
                    )
                )
        except StopIteration:
            return
        finally:
            context.nested -= 1
        if self._stopped:
            self._parked = False
            coroutine.close()
