"""The Redis serialization protocol, versions 2 and 3 (https://redis.io/docs/latest/develop/reference/protocol-spec/)."""

from __future__ import annotations

import asyncio

type Reply = int | bytes | Simple | Error | Nothing | Push | list[Reply] | dict[bytes, Reply] | None


class Simple(str):
    """A simple string, such as OK."""


class Error(Exception):
    """An error reply; its text begins with its code, such as ERR."""


class Nothing:
    """The null of an array."""


class Push(list["Reply"]):
    """A message that was not asked for."""


def encode(reply: Reply, protocol: int) -> bytes:
    match reply:
        case Simple():
            return b"+%s\r\n" % reply.encode()
        case Error():
            return b"-%s\r\n" % str(reply).encode()
        case None if protocol == 2:
            return b"$-1\r\n"
        case Nothing() if protocol == 2:
            return b"*-1\r\n"
        case None | Nothing():
            return b"_\r\n"
        case int():
            return b":%d\r\n" % reply
        case bytes():
            return b"$%d\r\n%s\r\n" % (len(reply), reply)
        case dict():
            mark, count = (b"%", len(reply)) if protocol == 3 else (b"*", 2 * len(reply))
            items = [encode(each, protocol) for pair in reply.items() for each in pair]
            return b"%s%d\r\n%s" % (mark, count, b"".join(items))
        case list():
            mark = b">" if isinstance(reply, Push) and protocol == 3 else b"*"
            return b"%s%d\r\n%s" % (mark, len(reply), b"".join(encode(each, protocol) for each in reply))
    raise TypeError(f"{reply!r} is no reply")


async def read_command(reader: asyncio.StreamReader) -> list[bytes] | None:
    """The next command with its arguments; None at the end of the stream. IncompleteReadError, Error."""
    line = await reader.readline()
    if not line:
        return None
    if not line.startswith(b"*"):
        return line.split()
    words = []
    for _ in range(int(line[1:])):
        head = await reader.readline()
        if not head.startswith(b"$"):
            raise Error("ERR Protocol error: expected '$'")
        words.append((await reader.readexactly(int(head[1:]) + 2))[:-2])
    return words
