"""Messages between processes: what is sent arrives, what is not a message is refused."""

from __future__ import annotations

import asyncio
import math
import os
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from harness.runtime.messages import (
    HEADER_BYTES,
    MAX_FRAME_BYTES,
    Channel,
    Codec,
    MessageError,
    SocketChannel,
    message,
)


@dataclass(frozen=True, slots=True)
class Point:
    x: float
    y: float


@message
class Move:
    to: tuple[Point, ...]
    totals: Mapping[int, int]
    note: str | None = None


@message
class Value:
    value: Any


@message
class Stop:
    """Nothing more."""


CODEC = Codec(Move, Value, Stop)


def test_messages_come_back_as_they_were() -> None:
    sent = [
        Move((Point(0.1 + 0.2, math.inf), Point(-1.0, 1 / 3)), {3: 4}, 'ö "quoted"'),
        Value([1, 1.0, True, None, "x", {"y": -math.inf}]),
        Stop(),
    ]
    arrived = CODEC.decode(CODEC.encode(*sent))
    assert arrived == sent
    assert [type(value) for value in arrived[1].value] == [int, float, bool, type(None), str, dict]
    (value,) = CODEC.decode(CODEC.encode(Value(math.nan)))
    assert math.isnan(value.value)


def test_the_kind_is_not_a_position() -> None:
    match CODEC.decode(CODEC.encode(Value(3)))[0]:
        case Value(value):
            assert value == 3
    assert repr(Value(3)) == "Value(value=3)"


@pytest.mark.parametrize(
    "batch",
    [
        "",
        "{",
        "7",
        "[7]",
        "[[]]",
        "[{}]",
        '["Stop"]',
        '[{"kind": "Stop", "more": 1}]',
        '[{"kind": "Value"}]',
        '[{"kind": "os.system", "value": "true"}]',
        '[{"kind": "Move", "to": [[1, 2]], "totals": {}}]',
        "[" * 100_000,
        b"\xff",
    ],
)
def test_what_is_not_a_message_is_refused(batch: str | bytes) -> None:
    with pytest.raises(MessageError):
        CODEC.decode(batch)


@pytest.mark.parametrize("value", [object(), {1: object()}, b"\xff"])
def test_what_is_not_data_cannot_be_sent(value: object) -> None:
    with pytest.raises(MessageError):
        CODEC.encode(Value(value))


def test_a_channel_yields_messages_until_the_other_side_is_gone() -> None:
    async def main() -> list[Any]:
        own, theirs = socket.socketpair()
        async with Channel.on(CODEC, own) as channel:
            async with Channel.on(CODEC, theirs) as other:
                other.send(Value(1), Value(2))
                other.send(Stop())
            return [one async for one in channel]

    assert asyncio.run(main()) == [Value(1), Value(2), Stop()]


def test_a_frame_that_is_too_long_is_refused() -> None:
    async def main() -> None:
        own, theirs = socket.socketpair()
        with theirs:
            theirs.sendall((MAX_FRAME_BYTES + 1).to_bytes(HEADER_BYTES))
            async with Channel.on(CODEC, own) as channel:
                with pytest.raises(MessageError, match="bytes"):
                    await channel.receive()

    asyncio.run(main())


def test_a_closed_channel_sends_nothing_and_ends() -> None:
    async def main() -> None:
        own, theirs = socket.socketpair()
        with theirs:
            channel = await Channel.open(CODEC, own)
            await channel.aclose()
            channel.send(Stop())
            assert channel.closing
            assert theirs.recv(1) == b""

    asyncio.run(main())


def test_sockets_that_block_speak_the_same() -> None:
    own, theirs = socket.socketpair()
    here, there = SocketChannel(CODEC, own), SocketChannel(CODEC, theirs)
    large = Value("x" * 1_000_000)

    def send() -> None:
        there.send(Value(1), Stop())
        there.send(large)
        there.close()

    sending = threading.Thread(target=send)
    sending.start()
    assert [here.receive() for _ in range(4)] == [Value(1), Stop(), large, None]
    sending.join()
    here.close()


def test_descriptors_come_along() -> None:
    """From a channel of asyncio to one that blocks, as from the harness to the fork server."""
    reading, writing = os.pipe()

    async def main(own: socket.socket) -> None:
        async with Channel.on(CODEC, own) as channel:
            channel.send_descriptors(Value("a pipe"), [writing])
            channel.send(Stop())

    own, theirs = socket.socketpair()
    asyncio.run(main(own))
    other = SocketChannel(CODEC, theirs)
    arrived, (copy,) = other.receive_with_descriptors()
    assert arrived == Value("a pipe")
    os.close(writing)
    os.write(copy, b"through")
    os.close(copy)
    assert os.read(reading, 100) == b"through"
    os.close(reading)
    assert other.receive_with_descriptors() == (Stop(), [])
    assert other.receive_with_descriptors() == (None, [])
    other.close()
