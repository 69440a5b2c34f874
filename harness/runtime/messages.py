"""Messages between processes: declared as classes, encoded by pydantic, framed in one way on every channel.

A protocol is a module that declares its messages and one `Codec` of them::

    @message
    class Resolve:
        number: int
        name: str

    CODEC = Codec(Resolve, ...)

A frame is its length in bytes (4 bytes, big-endian) and a batch: a JSON array of messages, each an object whose `kind`
is the name of its class. It is data only: nothing that arrives is executed, so that the other side may be another
machine. Floats arrive as they were sent, NaN and infinities included.

`Channel` is for asyncio, `SocketChannel` for a socket that blocks (the standard library's, or gevent's).
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Union, dataclass_transform

from pydantic import ConfigDict, Field, TypeAdapter
from pydantic_core import PydanticSerializationError, ValidationError

from harness.errors import HarnessError

HEADER_BYTES = 4
MAX_FRAME_BYTES = 64 * 1024 * 1024
MAX_DESCRIPTORS = 4
"""How many descriptors can come along with one frame."""


class MessageError(HarnessError):
    """What arrived is not a message of the protocol, or what is to be sent cannot be encoded."""


@dataclass_transform(frozen_default=True)
def message[T](cls: type[T]) -> type[T]:
    """Make the class a message: a frozen dataclass with slots, and a field `kind` that holds the name of the class.

    `kind` is keyword-only, so that patterns such as `case Resolve(number, name)` do not see it.
    """
    cls.__annotations__["kind"] = Literal[cls.__name__]
    cls.kind = field(default=cls.__name__, kw_only=True, repr=False)  # type: ignore[attr-defined]
    cls.__pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[attr-defined]
    return dataclass(frozen=True, slots=True)(cls)


class Codec:
    """Encodes and decodes batches of messages of these classes."""

    def __init__(self, *classes: type) -> None:
        one: Any = Union[classes]  # noqa: UP007 (of a tuple)
        if len(classes) > 1:
            one = Annotated[one, Field(discriminator="kind")]
        self._batch = TypeAdapter(list[one], config=ConfigDict(ser_json_inf_nan="constants"))

    def encode(self, *messages: object) -> bytes:
        """Raises MessageError for a value that is not data."""
        try:
            return self._batch.dump_json(list(messages), warnings="error")
        except PydanticSerializationError as error:
            raise MessageError(f"cannot encode the messages: {error}") from error

    def decode(self, batch: bytes | str) -> list[Any]:
        """Raises MessageError for anything but messages of these classes."""
        try:
            return self._batch.validate_json(batch)
        except ValidationError as error:
            raise MessageError(f"cannot decode the messages: {error}") from error

    def frame(self, *messages: object) -> bytes:
        """One frame with these messages."""
        batch = self.encode(*messages)
        return len(batch).to_bytes(HEADER_BYTES) + batch


def _frame_size(header: bytes) -> int:
    size = int.from_bytes(header)
    if size > MAX_FRAME_BYTES:
        raise MessageError(f"a frame of {size} bytes; at most {MAX_FRAME_BYTES} are allowed")
    return size


class Channel:
    """Messages over a connected stream socket, with asyncio. Iterating over it yields what arrives, until the other
    side is gone."""

    def __init__(
        self,
        codec: Codec,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        sock: socket.socket | None = None,
    ) -> None:
        """`sock`: what the streams are on; needed to send descriptors."""
        self._codec = codec
        self._reader = reader
        self._writer = writer
        self._socket = sock

    @classmethod
    async def open(cls, codec: Codec, sock: socket.socket) -> Channel:
        """A channel on this socket, which it closes."""
        return cls(codec, *await asyncio.open_connection(sock=sock), sock)

    @classmethod
    @asynccontextmanager
    async def on(cls, codec: Codec, sock: socket.socket) -> AsyncIterator[Channel]:
        """The same, closed at the end of the block; what was sent before goes out first."""
        with sock:
            channel = await cls.open(codec, sock)
            try:
                yield channel
            finally:
                await channel.aclose()

    def send(self, *messages: object) -> None:
        """Send soon and in order; does nothing on a closed channel. Raises MessageError as `Codec.encode`."""
        if not self._writer.is_closing():
            self._writer.write(self._codec.frame(*messages))

    def send_descriptors(self, message: object, descriptors: Sequence[int]) -> None:
        """Send a message with descriptors, at once: nothing else may be waiting to be sent.

        Raises OSError when the other side is gone.
        """
        assert self._socket is not None
        frame = self._codec.frame(message)
        self._writer.write(frame[socket.send_fds(self._socket, [frame], list(descriptors)) :])

    async def receive(self) -> list[Any] | None:
        """The messages of the next frame; None when the other side is gone. Raises MessageError as `Codec.decode`."""
        try:
            size = _frame_size(await self._reader.readexactly(HEADER_BYTES))
            return self._codec.decode(await self._reader.readexactly(size))
        except (asyncio.IncompleteReadError, ConnectionError):
            return None

    async def __aiter__(self) -> AsyncIterator[Any]:
        while (batch := await self.receive()) is not None:
            for one in batch:
                yield one

    @property
    def closing(self) -> bool:
        return self._writer.is_closing()

    def close(self) -> None:
        """Close it soon: what was sent before goes out first."""
        self._writer.close()

    async def aclose(self) -> None:
        """Close it, and wait until what was sent has gone out or cannot."""
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()


class SocketChannel:
    """Messages over a connected stream socket that blocks. Works with the sockets of gevent as well."""

    def __init__(self, codec: Codec, sock: socket.socket) -> None:
        self._codec = codec
        self._socket = sock
        self._received: deque[Any] = deque()

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, *messages: object, descriptors: Sequence[int] = ()) -> None:
        """Raises OSError when the other side is gone, MessageError as `Codec.encode`."""
        frame = self._codec.frame(*messages)
        if descriptors:
            frame = frame[socket.send_fds(self._socket, [frame], list(descriptors)) :]
        self._socket.sendall(frame)

    def receive(self) -> Any:
        """The next message; None when the other side is gone. Raises MessageError as `Codec.decode`."""
        while not self._received:
            header = self._exactly(HEADER_BYTES)
            batch = None if header is None else self._exactly(_frame_size(header))
            if batch is None:
                return None
            self._received.extend(self._codec.decode(batch))
        return self._received.popleft()

    def receive_with_descriptors(self) -> tuple[Any, list[int]]:
        """The next message and the descriptors that came along with it, which are the caller's to close.

        The other side sends one message in a frame.
        """
        header, descriptors, _, _ = socket.recv_fds(self._socket, HEADER_BYTES, MAX_DESCRIPTORS)
        rest = self._exactly(HEADER_BYTES - len(header)) if header else None
        batch = None if rest is None else self._exactly(_frame_size(header + rest))
        if batch is None:
            return None, descriptors
        (one,) = self._codec.decode(batch)
        return one, descriptors

    def close(self) -> None:
        self._socket.close()

    def _exactly(self, n_bytes: int) -> bytes | None:
        data = b""
        while len(data) < n_bytes:
            try:
                more = self._socket.recv(n_bytes - len(data))
            except ConnectionResetError:  # the other side ended before it read everything
                return None
            if not more:
                return None
            data += more
        return data
