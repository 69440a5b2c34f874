"""The writing half of a socket: a bounded buffer in front of it, and the way in which it ends."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable
from itertools import islice

from harness.toxiproxy.chunk import Chunk, End
from harness.toxiproxy.metrics import Meter
from harness.toxiproxy.poller import Poller
from harness.toxiproxy.splice import Splice

MAX_BUFFERED_BYTES = 64 * 1024
"""What may wait for the socket before the writer has to wait; the kernel holds megabytes behind it."""

_VECTOR = 256  # buffers handed to one sendmsg call; the kernel takes 1024 at most
_MAX_CALLS = 8  # of sendmsg in one turn of the loop


class Output:
    """Writes to one non-blocking socket.

    Args:
        on_end: called once with the end that was reached: EOF when all was written and the socket shut down
            for writing, CLOSE and RESET when the connection shall close.
        on_failure: called once when the socket cannot be written to any more; all further data is dropped.
    """

    def __init__(
        self,
        poller: Poller,
        sock: socket.socket,
        meter: Meter,
        *,
        on_end: Callable[[End], None],
        on_failure: Callable[[], None],
    ) -> None:
        self._poller = poller
        self._socket = sock
        self._fd = sock.fileno()
        self._meter = meter
        self._on_end = on_end
        self._on_failure = on_failure
        self._queue: deque[bytes | memoryview] = deque()
        self._size = 0
        self._end: End | None = None
        self._splice: Splice | None = None
        self._waiting = False
        self._over = False
        self._room: Callable[[], object] | None = None

    @property
    def idle(self) -> bool:
        """Nothing waits to be written."""
        return not self._waiting

    @property
    def full(self) -> bool:
        return self._size > MAX_BUFFERED_BYTES or (self._splice is not None and self._splice.held_bytes > 0)

    def when_room(self, call: Callable[[], object]) -> None:
        self._room = call

    def put(self, item: Chunk | End) -> None:
        if isinstance(item, Chunk):
            self.write(item.data)
        elif item is not End.EOF or (self._end is None and not self._over):
            self._end = item
            if item is End.RESET:  # a reset overtakes what waits, as it does in the kernel
                self._drop()
            if self.idle:
                self._finish()

    def write(self, data: bytes) -> None:
        """Write now what the socket takes, the rest when it can."""
        if not self._waiting:
            sent = self._send(data)
            if sent == len(data):
                return
            self._keep(memoryview(data)[sent:] if sent else data)
        else:
            self._keep(data)

    def pass_on(self, data: memoryview) -> bool:
        """Write what is in a buffer that is used again afterwards. False when something waits to be written."""
        sent = 0 if self._waiting else self._send(data)
        if sent == len(data):
            return True
        self._keep(bytes(data[sent:]))
        return False

    def write_from(self, splice: Splice) -> None:
        """Write what the splice holds; it stays with the splice until the socket takes it."""
        self._splice = splice
        self._flush()

    def stop(self) -> None:
        """Forget what waits; the socket is about to be closed."""
        self._over = True
        self._room = None
        self._drop()

    def _send(self, data: bytes | memoryview) -> int:
        """How much of it needs no more care; all of it when nothing can be written any more."""
        if self._over or self._end is not None:
            return len(data)
        try:
            sent = self._socket.send(data)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError:
            self._fail()
            return len(data)
        self._meter.sent_bytes += sent
        return sent

    def _keep(self, data: bytes | memoryview) -> None:
        if not self._over and self._end is None:
            self._queue.append(data)
            self._size += len(data)
            self._wait()

    def _drop(self) -> None:
        self._queue.clear()
        self._size = 0
        self._splice = None
        if self._waiting:
            self._waiting = False
            self._poller.remove_writer(self._fd)

    def _wait(self) -> None:
        if not self._waiting:
            self._waiting = True
            self._poller.add_writer(self._fd, self._flush)

    def _flush(self) -> None:
        try:
            blocked = not self._flush_splice() or not self._flush_queue()
        except OSError:
            self._fail()
            return
        if blocked:
            self._wait()
        elif self._waiting:
            self._waiting = False
            self._poller.remove_writer(self._fd)
        if self._room is not None and not self.full:
            call, self._room = self._room, None
            call()
        if not blocked and self._end is not None:
            self._finish()

    def _flush_splice(self) -> bool:
        """Write what is held in the kernel's pipe. False when the socket takes no more for now."""
        if self._splice is None:
            return True
        before = self._splice.held_bytes
        done = self._splice.drain(self._fd)
        self._meter.sent_bytes += before - self._splice.held_bytes
        if done:
            self._splice = None
        return done

    def _flush_queue(self) -> bool:
        calls = 0
        while self._queue:
            if calls == _MAX_CALLS:
                return False  # the rest in the next turn
            calls += 1
            try:
                sent = self._socket.sendmsg(list(islice(self._queue, _VECTOR)))
            except (BlockingIOError, InterruptedError):
                return False
            self._meter.sent_bytes += sent
            self._size -= sent
            while sent:
                first = self._queue[0]
                if len(first) > sent:
                    self._queue[0] = memoryview(first)[sent:]
                    break
                sent -= len(first)
                self._queue.popleft()
        return True

    def _finish(self) -> None:
        end, self._over = self._end, True
        assert end is not None
        if end is End.EOF:
            try:
                self._socket.shutdown(socket.SHUT_WR)
            except OSError:  # the other end is gone already, which reading from it tells
                self._on_failure()
                return
        self._on_end(end)

    def _fail(self) -> None:
        self._over = True
        self._drop()
        call, self._room = self._room, None
        self._on_failure()
        if call is not None:
            call()
