"""`redis_stand_in`: a service that stands in for redis-server, for clients of any library.

Strings, expiry, lists with blocking pops, publish and subscribe, transactions with WATCH; protocols 2 and 3, one
database. Nothing is kept over a restart. A command that is not modelled is refused, and makes the run an error.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from harness.stand_ins.redis_store import COMMANDS, OK, NotModelled, Store, check_pattern, matches
from harness.stand_ins.resp import Error, Nothing, Push, Reply, Simple, encode, read_command
from harness.system.host import Host

PORT = 6379
BLOCKING = {"BLPOP": True, "BRPOP": False}
"""Whether each takes the left end."""

_WHILE_SUBSCRIBED = ("SUBSCRIBE", "UNSUBSCRIBE", "PSUBSCRIBE", "PUNSUBSCRIBE", "PING", "QUIT")


async def redis_stand_in(host: Host) -> None:
    """A service: `Node("redis-1", "redis", "east", redis_stand_in)`. It listens on port 6379."""
    server = _Server()
    listening = await asyncio.start_server(server.serve, "0.0.0.0", PORT)
    async with listening:
        raise await server.refused


class _Server:
    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.store = Store(loop.time)
        self.refused: asyncio.Future[NotModelled] = loop.create_future()
        self.connections: list[_Connection] = []
        self._waiting: list[tuple[_Connection, Callable[[], Reply | None], asyncio.Future[Reply]]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(self, reader, writer)
        self.connections.append(connection)
        try:
            while not connection.closed and (command := await read_command(reader)) is not None:
                if command:
                    await connection.handle(command)
                    await writer.drain()
        except (OSError, asyncio.IncompleteReadError, Error):
            pass
        except NotModelled as error:
            connection.send(Error(f"ERR {error}"))
            if not self.refused.done():
                self.refused.set_result(error)
        finally:
            self.connections.remove(connection)
            writer.close()

    async def wait(self, connection: _Connection, take: Callable[[], Reply | None], limit_s: float) -> Reply:
        """What `take` gives, once it is not None; clients are served in the order in which they wait."""
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        entry = (connection, take, answer)
        self._waiting.append(entry)
        try:
            async with asyncio.timeout(limit_s or None):
                return await answer
        except TimeoutError:
            return Nothing()
        finally:
            if entry in self._waiting:
                self._waiting.remove(entry)

    def serve_waiting(self) -> None:
        """After a command, or a transaction, that has pushed something."""
        if not self.store.pushed:
            return
        self.store.pushed.clear()
        for entry in list(self._waiting):
            connection, take, answer = entry
            if connection.alive and not answer.done() and (found := take()) is not None:
                answer.set_result(found)
                self._waiting.remove(entry)

    def publish(self, channel: bytes, message: bytes) -> int:
        count = 0
        for each in self.connections:
            if channel in each.channels:
                each.send(Push([b"message", channel, message]))
                count += 1
            for pattern in each.patterns:
                if matches(channel, pattern):
                    each.send(Push([b"pmessage", pattern, channel, message]))
                    count += 1
        return count


class _Connection:
    def __init__(self, server: _Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.closed = False
        self.channels: dict[bytes, None] = {}
        self.patterns: dict[bytes, None] = {}
        self._server, self._reader, self._writer = server, reader, writer
        self._protocol = 2
        self._queue: list[tuple[str, list[bytes]]] | None = None
        self._bad = False
        self._watched: dict[bytes, int] = {}

    @property
    def alive(self) -> bool:
        """Whether the client is there, as far as the server has heard: what it has popped is lost otherwise."""
        gone = self._writer.is_closing() or self._reader.at_eof() or self._reader.exception() is not None
        return not gone

    def send(self, reply: Reply) -> None:
        with contextlib.suppress(OSError):
            self._writer.write(encode(reply, self._protocol))

    async def handle(self, command: list[bytes]) -> None:
        name, words = command[0].decode("latin-1").upper(), command[1:]
        try:
            if name in ("SUBSCRIBE", "UNSUBSCRIBE", "PSUBSCRIBE", "PUNSUBSCRIBE"):
                self._subscribe(name, words)
                return
            self.send(await self._answer(name, words))
        except Error as error:
            self._bad = self._queue is not None
            self.send(error)
        self._server.serve_waiting()

    async def _answer(self, name: str, words: list[bytes]) -> Reply:
        if (self.channels or self.patterns) and self._protocol == 2 and name not in _WHILE_SUBSCRIBED:
            raise Error(
                f"ERR Can't execute '{name.lower()}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET "
                "are allowed in this context"
            )
        match name:
            case "MULTI":
                if self._queue is not None:
                    raise Error("ERR MULTI calls can not be nested")
                self._queue, self._bad = [], False
                return OK
            case "EXEC":
                return self._execute()
            case "DISCARD":
                if self._queue is None:
                    raise Error("ERR DISCARD without MULTI")
                self._queue, self._watched = None, {}
                return OK
            case "WATCH":
                if self._queue is not None:
                    raise Error("ERR WATCH inside MULTI is not allowed")
                self._watched |= {key: self._server.store.version(key) for key in words}
                return OK
        if self._queue is not None:
            self._check(name, words)
            self._queue.append((name, words))
            return Simple("QUEUED")
        if name in BLOCKING:
            return await self._blocking_pop(name, words)
        return self._now(name, words)

    def _check(self, name: str, words: list[bytes]) -> None:
        """As Redis checks a command when it is queued: whether it exists, and how many arguments it has."""
        if name in COMMANDS:
            _, least, most = COMMANDS[name]
            if not least <= len(words) <= most:
                raise Error(f"ERR wrong number of arguments for '{name.lower()}' command")
        elif name not in (*BLOCKING, "PUBLISH", "PING", "ECHO", "UNWATCH"):
            raise NotModelled(f"the Redis stand-in does not model {name} in a transaction")

    def _execute(self) -> Reply:
        if self._queue is None:
            raise Error("ERR EXEC without MULTI")
        queue, watched, self._queue, self._watched = self._queue, self._watched, None, {}
        if self._bad:
            raise Error("EXECABORT Transaction discarded because of previous errors.")
        if any(self._server.store.version(key) != version for key, version in watched.items()):
            return Nothing()
        replies: list[Reply] = []
        for name, words in queue:
            try:
                replies.append(self._now(name, words))
            except Error as error:
                replies.append(error)
        return replies

    def _now(self, name: str, words: list[bytes]) -> Reply:
        """A command that answers at once; a blocking one in a transaction does not block."""
        if name in COMMANDS:
            return self._server.store.run(name, words)
        if name in BLOCKING:
            found = self._take(name, words[:-1])
            return Nothing() if found is None else found
        match name, words:
            case "PING", []:
                subscribed = (self.channels or self.patterns) and self._protocol == 2
                return [b"pong", b""] if subscribed else Simple("PONG")
            case (("PING" | "ECHO"), [word]):
                return word
            case "PUBLISH", [channel, message]:
                return self._server.publish(channel, message)
            case "UNWATCH", []:
                self._watched = {}
                return OK
            case "SELECT", [b"0"]:
                return OK
            case "QUIT", _:
                self.closed = True
                return OK
            case "HELLO", _:
                return self._hello(words)
            case "CLIENT", [what, *_] if what.upper() in (b"SETINFO", b"SETNAME"):
                return OK
            case "CLIENT", [what] if what.upper() == b"ID":
                return self._server.connections.index(self) + 1
            case ("CLIENT", [b"MAINT_NOTIFICATIONS", *_]):  # redis-py asks; Redis 7 does not know it
                raise Error("ERR unknown subcommand 'MAINT_NOTIFICATIONS'. Try CLIENT HELP.")
            case (("ECHO" | "PUBLISH" | "UNWATCH"), _):
                raise Error(f"ERR wrong number of arguments for '{name.lower()}' command")
        raise NotModelled(f"the Redis stand-in does not model {describe(name, words)}")

    def _hello(self, words: list[bytes]) -> Reply:
        if words[:1] not in ([], [b"2"], [b"3"]):
            raise Error("NOPROTO unsupported protocol version")
        if any(word.upper() == b"AUTH" for word in words):
            raise NotModelled("the Redis stand-in does not model HELLO with AUTH")
        if words:
            self._protocol = int(words[0])
        return {
            b"server": b"redis",
            b"version": b"7.2.0",
            b"proto": self._protocol,
            b"id": 1,
            b"mode": b"standalone",
            b"role": b"master",
            b"modules": [],
        }

    # ------------------------------------------------------------------ blocking pops, subscriptions

    def _take(self, name: str, keys: list[bytes]) -> Reply | None:
        for key in keys:
            if (word := self._server.store.pop(key, left=BLOCKING[name])) is not None:
                return [key, word]
        return None

    async def _blocking_pop(self, name: str, words: list[bytes]) -> Reply:
        if len(words) < 2:
            raise Error(f"ERR wrong number of arguments for '{name.lower()}' command")
        *keys, limit = words
        try:
            limit_s = float(limit)
        except ValueError:
            raise Error("ERR timeout is not a float or out of range") from None
        if limit_s < 0:
            raise Error("ERR timeout is negative")
        if (found := self._take(name, keys)) is not None:
            return found
        return await self._server.wait(self, lambda: self._take(name, keys), limit_s)

    def _subscribe(self, name: str, words: list[bytes]) -> None:
        if self._queue is not None:
            raise NotModelled(f"the Redis stand-in does not model {name} in a transaction")
        kept = self.patterns if name.startswith("P") else self.channels
        if name.endswith("UNSUBSCRIBE"):
            gone: list[bytes | None] = [*(words or list(kept))] or [None]
            for word in gone:
                if word is not None:
                    kept.pop(word, None)
                self.send(Push([name.lower().encode(), word, len(self.channels) + len(self.patterns)]))
            return
        if not words:
            raise Error(f"ERR wrong number of arguments for '{name.lower()}' command")
        for word in words:
            if name == "PSUBSCRIBE":
                check_pattern(word)
            kept[word] = None
            self.send(Push([name.lower().encode(), word, len(self.channels) + len(self.patterns)]))


def describe(name: str, words: list[bytes]) -> str:
    """A command as people write it, with its first argument where that is a part of its name."""
    shown = [name, *(word.decode("latin-1") for word in words[:1] if name in ("CLIENT", "SELECT", "CONFIG"))]
    return " ".join(shown)
