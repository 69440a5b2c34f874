"""One direction of a connection: from a socket, through the toxics that are active on it, to a socket.

Without toxics the bytes are written as they are read, in the same callback, and bulk data is spliced inside
the kernel. Toxics are put into and taken out of the way while data relays; none of it is lost or reordered.
"""

from __future__ import annotations

import errno
import random
import socket
from collections.abc import Callable, Sequence

from harness.toxiproxy.chunk import READ_BYTES, Chunk, End, Outlet
from harness.toxiproxy.context import ServerContext
from harness.toxiproxy.metrics import Meter
from harness.toxiproxy.output import Output
from harness.toxiproxy.splice import AVAILABLE, Splice
from harness.toxiproxy.stage_runner import StageRunner
from harness.toxiproxy.toxic import Toxic

CHUNK_BYTES = 32 * 1024
"""What toxics get at once: Toxiproxy's own chunk size, so that toxics that act by the chunk act alike."""

_FULL_READS = 4  # so many full reads in a row begin splicing
_SMALL_FILLS = 8  # so many small ones end it


class Relay:
    """Args:
    draw: the random numbers of a toxic on this relay.
    on_end: called when everything was passed on (EOF), or when the connection shall end (CLOSE, RESET).
    on_lost: called when the target cannot be written to any more.
    on_source_end: called when the source has sent its end or was reset.
    """

    def __init__(
        self,
        context: ServerContext,
        source: socket.socket,
        target: socket.socket,
        meter: Meter,
        *,
        draw: Callable[[Toxic], random.Random],
        on_end: Callable[[Relay, End], None],
        on_lost: Callable[[Relay], None],
        on_source_end: Callable[[Relay, End], None],
    ) -> None:
        self.finished = False
        """Nothing more will be written: the end was passed on, or the target is gone."""
        self.source_ended = False
        """The source will send no more; toxics may still hold data of it."""
        self.source_is_gone = False
        """The source cannot be written to any more: its end counts as a reset."""
        self._context = context
        self._poller = context.poller
        self._source = source
        self._fd = source.fileno()
        self._meter = meter
        self._buffer = context.buffer
        self._draw = draw
        self._on_end = on_end
        self._on_lost = on_lost
        self._on_source_end = on_source_end
        self._output = Output(context.poller, target, meter, on_end=self._ended, on_failure=self._failed)
        self._chain: list[StageRunner] = []
        self._first: StageRunner | None = None
        self._rolls: dict[int, tuple[float, random.Random]] = {}
        self._reading = False
        self._read_all = False
        self._abandoned = False
        self._stopped = False
        self._run_of_full = 0
        self._splice: Splice | None = None
        self._may_splice = AVAILABLE
        self._on_readable = self._readable

    def start(self, toxics: Sequence[Toxic]) -> None:
        self.apply(toxics)
        self._resume()

    def apply(self, toxics: Sequence[Toxic], changed: Toxic | None = None) -> None:
        """Make the chain what it should be: the toxics of this direction, in order, those that are active.

        Whether one is active is drawn once for this relay: `draw < toxicity`. A `changed` one begins anew.
        """
        if self._stopped or self.finished:
            return
        wanted = [toxic for toxic in toxics if self._roll(toxic)[0] < toxic.toxicity]
        at = 0
        for toxic in wanted:
            present = next((i for i, stage in enumerate(self._chain) if _is(stage, toxic)), None)
            if present is None:
                self._chain.insert(at, self._stage(toxic))
                at += 1
            else:
                at = present + 1
                if toxic is changed:
                    self._chain[present].interrupt()
        self._link()
        for stage in list(self._chain):
            if not stage.leaving and not any(stage.toxic is toxic for toxic in wanted):
                stage.leave()

    def abandon(self) -> None:
        """The other direction is finished: toxics that never pass anything on close the connection."""
        self._abandoned = True
        for stage in list(self._chain):
            if not self._stopped:
                stage.abandon()

    def give_up(self) -> None:
        """The target is gone, as reading from it has shown: drop what is held for it."""
        if not self._stopped and not self.finished:
            self._drop_chain()
            self._output.stop()
            self._failed()

    def stop(self) -> None:
        """Drop everything and stop at once; the sockets are not touched."""
        self._stopped = True
        self._pause()
        self._drop_chain()
        self._output.stop()
        self._close_splice()

    def _drop_chain(self) -> None:
        for stage in self._chain:
            stage.stop()
        self._chain.clear()
        self._first = None

    def _close_splice(self) -> None:
        if self._splice is not None:
            self._splice.close()
            self._splice = None
            self._context.descriptors.give_back(2)

    def _roll(self, toxic: Toxic) -> tuple[float, random.Random]:
        if toxic.number not in self._rolls:
            rng = self._draw(toxic)
            self._rolls[toxic.number] = (rng.random(), rng)
        return self._rolls[toxic.number]

    def _stage(self, toxic: Toxic) -> StageRunner:
        stage = StageRunner(
            self._context,
            toxic,
            self._output,
            self._roll(toxic)[1],
            on_gone=self._gone,
            on_failure=lambda: self._on_end(self, End.CLOSE),
        )
        if self._abandoned:
            stage.abandon()
        return stage

    def _link(self) -> None:
        following: Outlet = self._output
        for stage in reversed(self._chain):
            stage.following = following
            following = stage
        self._first = self._chain[0] if self._chain else None
        if self._first is not None:
            self._plain()

    def _gone(self, stage: StageRunner) -> None:
        if not self._stopped:
            self._chain.remove(stage)
            self._link()

    # Reading.

    def _resume(self) -> None:
        if self._stopped or self._read_all or self._reading:
            return
        into: Outlet = self._first or self._output
        if into.full:
            into.when_room(self._resume)
            return
        self._reading = True
        self._poller.add_reader(self._fd, self._on_readable)

    def _pause(self) -> None:
        if self._reading:
            self._reading = False
            self._poller.remove_reader(self._fd)

    def _readable(self) -> None:
        if self._first is not None:
            self._read_chunk(self._first)
            return
        try:
            size = self._source.recv_into(self._buffer)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._source_ended(End.RESET)
            return
        if not size:
            self._source_ended(End.EOF)
            return
        self._meter.received_bytes += size
        if not self._output.pass_on(self._buffer[:size]):
            if self._output.full:
                self._pause()
                self._resume()
        elif size < READ_BYTES:
            self._run_of_full = 0
        elif self._may_splice:
            self._run_of_full += 1
            if self._run_of_full >= _FULL_READS:
                self._begin_splicing()

    def _read_chunk(self, first: StageRunner) -> None:
        try:
            size = self._source.recv_into(self._buffer, CHUNK_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._source_ended(End.RESET)
            return
        if not size:
            self._source_ended(End.EOF)
            return
        self._meter.received_bytes += size
        first.put(Chunk(bytes(self._buffer[:size]), self._context.clock.time()))
        if first.full:
            self._pause()
            self._resume()

    def _source_ended(self, end: End) -> None:
        self._pause()
        self._read_all = self.source_ended = True
        into: Outlet = self._first or self._output
        into.put(End.RESET if self.source_is_gone else end)
        if not self._stopped:
            self._on_source_end(self, end)

    def _begin_splicing(self) -> None:
        if self._splice is None:
            if not self._context.descriptors.take_spare(2):  # go on by copying, and ask again later
                self._run_of_full = 0
                return
            try:
                self._splice = Splice()
            except OSError:
                self._context.descriptors.give_back(2)
                self._run_of_full = 0
                return
        self._run_of_full = _SMALL_FILLS
        self._read_with(self._spliceable)

    def _plain(self) -> None:
        """Back to reading into this process: for toxics, or because the bulk is over."""
        if self._on_readable == self._spliceable:
            self._run_of_full = 0
            self._read_with(self._readable)
        if self._splice is not None and not self._splice.held_bytes:
            self._close_splice()

    def _read_with(self, on_readable: Callable[[], None]) -> None:
        self._on_readable = on_readable
        if self._reading:
            self._poller.add_reader(self._fd, on_readable)

    def _spliceable(self) -> None:
        assert self._splice is not None
        try:
            taken = self._splice.fill(self._fd)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            if error.errno == errno.EINVAL:  # not with this kind of socket
                self._may_splice = False
                self._plain()
            else:
                self._source_ended(End.RESET)
            return
        if not taken:
            self._source_ended(End.EOF)
            return
        self._meter.received_bytes += taken
        self._output.write_from(self._splice)
        if self._output.full:
            self._pause()
            self._resume()
        elif taken >= CHUNK_BYTES:
            self._run_of_full = _SMALL_FILLS
        else:
            self._run_of_full -= 1
            if self._run_of_full <= 0:
                self._plain()

    # Called by the output.

    def _ended(self, end: End) -> None:
        if end is End.EOF:
            self.finished = True
        self._on_end(self, end)

    def _failed(self) -> None:
        self.finished = True
        self._read_all = True
        self._pause()
        self._on_lost(self)


def _is(stage: StageRunner, toxic: Toxic) -> bool:
    return stage.toxic is toxic and not stage.leaving
