"""The buffer in front of a socket: order, room, and what its end waits for."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from harness.toxiproxy.chunk import Chunk, End
from harness.toxiproxy.metrics import Meter
from harness.toxiproxy.output import MAX_BUFFERED_BYTES, Output
from tests.toxiproxy.support import eventually, on_loop

PIECE = bytes(range(256)) * 256


@contextmanager
def output() -> Iterator[tuple[Output, socket.socket, list[End | str], Meter]]:
    """An output, the other end of its socket, and what it told."""
    near, far = socket.socketpair()
    told: list[End | str] = []
    meter = Meter()
    for sock in (near, far):
        sock.setblocking(False)
    out = Output(
        asyncio.get_running_loop(), near, meter, on_end=told.append, on_failure=lambda: told.append("failed")
    )
    with near, far:
        try:
            yield out, far, told, meter
        finally:
            out.stop()


def fill(out: Output) -> bytes:
    """Write until the socket takes no more; what was written."""
    written = b""
    while out.idle:
        out.write(PIECE)
        written += PIECE
    return written


@on_loop
async def test_data_never_overtakes_what_waits() -> None:
    with output() as (out, far, _, meter):
        expected = fill(out)
        got = far.recv(1 << 20)  # now the socket would take more, but it is not its turn
        out.write(b"next")
        expected += b"next"
        while len(got) < len(expected):
            await asyncio.sleep(0)
            try:
                got += far.recv(1 << 20)
            except BlockingIOError:
                continue
        assert got == expected
        assert meter.sent_bytes == len(expected)


@on_loop
async def test_it_is_full_over_its_limit_and_tells_when_there_is_room() -> None:
    with output() as (out, far, told, _):
        fill(out)
        while not out.full:
            out.put(Chunk(bytes(MAX_BUFFERED_BYTES), 0))
        out.when_room(lambda: told.append("room"))
        await asyncio.sleep(0)
        assert told == []
        while not told:
            await asyncio.sleep(0)
            try:
                far.recv(1 << 20)
            except BlockingIOError:
                continue
        assert told == ["room"]
        assert not out.full


@on_loop
async def test_an_end_waits_for_the_data_and_a_reset_does_not() -> None:
    for end in (End.EOF, End.CLOSE):
        with output() as (out, far, told, _):
            size = len(fill(out))
            out.put(end)
            out.write(b"too late")
            assert told == []
            got = 0
            while not told:
                await asyncio.sleep(0)
                try:
                    got += len(far.recv(1 << 20))
                except BlockingIOError:
                    continue
            assert told == [end]
            while got < size:
                got += len(far.recv(1 << 20))
            assert got == size
    with output() as (out, _, told, _):
        fill(out)
        out.put(End.RESET)
        assert told == [End.RESET]
        assert out.idle


@on_loop
async def test_a_socket_that_is_gone_fails_once_and_frees_its_writer() -> None:
    with output() as (out, far, told, _):
        fill(out)
        out.put(Chunk(bytes(2 * MAX_BUFFERED_BYTES), 0))
        out.when_room(lambda: told.append("room"))
        far.close()
        await eventually(lambda: len(told) == 2)
        assert told == ["failed", "room"]
        out.write(b"more")
        out.put(End.EOF)
        assert told == ["failed", "room"]
        out.put(End.CLOSE)  # still asks for the connection to be closed
        assert told[-1] is End.CLOSE
