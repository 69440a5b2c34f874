"""The Redis stand-in, command by command, beside a real server where one is installed."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import redis
import redis.asyncio

from harness import Host, ServiceDefect, World, redis_stand_in, simulate
from harness.stand_ins.resp import encode

type Session = list[tuple[str, bytes]]

SESSIONS: dict[str, Session] = {
    "strings": [
        ("SET a 1", b"+OK"),
        ("GET a", b"$1|1"),
        ("GET none", b"$-1"),
        ("INCR a", b":2"),
        ("INCRBY a 40", b":42"),
        ("DECR a", b":41"),
        ("DECRBY a 1", b":40"),
        ("APPEND a x", b":3"),
        ("STRLEN a", b":3"),
        ("INCR a", b"-ERR value is not an integer or out of range"),
        ("MSET b 1 c 2", b"+OK"),
        ("MGET b c none", b"*3|$1|1|$1|2|$-1"),
        ("GETSET b 3", b"$1|1"),
        ("GETDEL b", b"$1|3"),
        ("EXISTS a b c c", b":3"),
        ("DEL a b", b":1"),
        ("TYPE c", b"+string"),
        ("GET", b"-ERR wrong number of arguments for 'get' command"),
    ],
    "conditions": [
        ("SET lock me NX PX 5000", b"+OK"),
        ("SET lock you NX PX 5000", b"$-1"),
        ("GET lock", b"$2|me"),
        ("SET none you XX", b"$-1"),
        ("SET lock you XX GET", b"$2|me"),
        ("TTL lock", b":-1"),
        ("SETNX lock x", b":0"),
        ("SET lock x NX XX", b"-ERR syntax error"),
        ("SET lock x EX 0", b"-ERR invalid expire time in 'set' command"),
        ("SETEX lock 0 x", b"-ERR invalid expire time in 'setex' command"),
    ],
    "expiry": [
        ("SET a 1 EX 100", b"+OK"),
        ("TTL a", b":100"),
        ("SET a 2 KEEPTTL", b"+OK"),
        ("TTL a", b":100"),
        ("PERSIST a", b":1"),
        ("PERSIST a", b":0"),
        ("TTL a", b":-1"),
        ("EXPIRE a 0", b":1"),
        ("GET a", b"$-1"),
        ("TTL a", b":-2"),
        ("EXPIRE a 10", b":0"),
    ],
    "lists": [
        ("RPUSH q a b c", b":3"),
        ("LPUSH q z", b":4"),
        ("LRANGE q 0 -1", b"*4|$1|z|$1|a|$1|b|$1|c"),
        ("LRANGE q -2 100", b"*2|$1|b|$1|c"),
        ("LINDEX q -1", b"$1|c"),
        ("LPOP q", b"$1|z"),
        ("RPOP q 2", b"*2|$1|c|$1|b"),
        ("LLEN q", b":1"),
        ("LMOVE q done LEFT RIGHT", b"$1|a"),
        ("LMOVE q done LEFT RIGHT", b"$-1"),
        ("TYPE q", b"+none"),
        ("RPUSH done a b a", b":4"),
        ("LREM done -2 a", b":2"),
        ("LRANGE done 0 -1", b"*2|$1|a|$1|b"),
        ("RPOPLPUSH done q", b"$1|b"),
        ("BRPOP none q 1", b"*2|$1|q|$1|b"),
        ("GET done", b"-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("SET s 1", b"+OK"),
        ("LPUSH s 1", b"-WRONGTYPE Operation against a key holding the wrong kind of value"),
    ],
    "transactions": [
        ("MULTI", b"+OK"),
        ("SET a 1", b"+QUEUED"),
        ("LPUSH a 1", b"+QUEUED"),
        ("INCR a", b"+QUEUED"),
        ("EXEC", b"*3|+OK|-WRONGTYPE Operation against a key holding the wrong kind of value|:2"),
        ("EXEC", b"-ERR EXEC without MULTI"),
        ("WATCH a", b"+OK"),
        ("SET a 5", b"+OK"),
        ("MULTI", b"+OK"),
        ("GET a", b"+QUEUED"),
        ("EXEC", b"*-1"),
        ("MULTI", b"+OK"),
        ("GET", b"-ERR wrong number of arguments for 'get' command"),
        ("EXEC", b"-EXECABORT Transaction discarded because of previous errors."),
        ("MULTI", b"+OK"),
        ("DISCARD", b"+OK"),
        ("GET a", b"$1|5"),
    ],
    "publish": [
        ("PUBLISH news x", b":0"),
        ("SUBSCRIBE news", b"*3|$9|subscribe|$4|news|:1"),
        ("UNSUBSCRIBE news", b"*3|$11|unsubscribe|$4|news|:0"),
        ("PING", b"+PONG"),
        ("ECHO hi", b"$2|hi"),
    ],
}
"""By name: commands, and the bytes of their replies with | for the ends of lines."""


async def replies(name: str, port: int, commands: Session) -> Session:
    reader, writer = await asyncio.open_connection(name, port)
    found = []
    for command, expected in commands:
        writer.write(encode([word.encode() for word in command.split()], 2))
        lines = [(await reader.readline()).removesuffix(b"\r\n") for _ in range(expected.count(b"|") + 1)]
        found.append((command, b"|".join(lines)))
    writer.close()
    return found


@pytest.mark.parametrize("name", SESSIONS)
def test_each_command_answers_as_redis_does(name: str) -> None:
    @simulate(nodes={"redis": redis_stand_in})
    async def run(_: World) -> None:
        assert await replies("redis", 6379, SESSIONS[name]) == SESSIONS[name]

    run()


@asynccontextmanager
async def real_server() -> AsyncIterator[int]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = int(sock.getsockname()[1])
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL)
    try:
        for _ in range(200):
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                break
            await asyncio.sleep(0.05)
        yield port
    finally:
        process.kill()
        await process.wait()


@pytest.mark.live
@pytest.mark.skipif(shutil.which("redis-server") is None, reason="no redis-server here")
@pytest.mark.parametrize("name", SESSIONS)
def test_a_real_server_answers_the_same(name: str) -> None:
    async def run() -> None:
        async with real_server() as port:
            assert await replies("127.0.0.1", port, SESSIONS[name]) == SESSIONS[name]

    asyncio.run(run())


@pytest.mark.parametrize("protocol", [2, 3])
def test_redis_py_works_with_it(protocol: int) -> None:
    @simulate(nodes={"redis": redis_stand_in})
    async def run(world: World) -> None:
        client = redis.asyncio.Redis(host="redis", protocol=protocol, decode_responses=True)
        assert await client.set("a", "1", ex=10)
        await world.sleep(9)
        assert await client.get("a") == "1"
        await world.sleep(2)
        assert await client.get("a") is None
        async with client.pipeline(transaction=True) as pipe:
            pipe.incr("n")
            pipe.rpush("q", "x")
            assert await pipe.execute() == [1, 1]
        start_s = world.now
        assert await client.brpop(["none"], timeout=3) is None
        assert 3 <= world.now - start_s < 3.1
        async with client.pubsub() as channel:
            await channel.subscribe("news")
            await channel.get_message(timeout=1)
            assert await client.publish("news", "hello") == 1
            message = await channel.get_message(ignore_subscribe_messages=True, timeout=1)
            assert message is not None
            assert message["data"] == "hello"
        await client.aclose()

    run()


def test_a_blocked_client_that_died_takes_nothing() -> None:
    taken: list[object] = []

    async def worker(host: Host) -> None:
        host.ready()
        client = redis.asyncio.Redis(host="redis")
        while True:
            if found := await client.blpop(["q"], timeout=60):
                taken.append(found[1])

    @simulate(nodes={"redis": redis_stand_in, "worker": worker})
    async def run(world: World) -> None:
        client = redis.asyncio.Redis(host="redis")
        await world.sleep(1)
        async with world.crash("worker"):
            await world.sleep(1)
            await client.rpush("q", "order")
            await world.sleep(1)
            assert await client.llen("q") == 1
        await world.sleep(1)
        await client.aclose()

    run()
    assert taken == [b"order"]


def test_what_it_does_not_model_is_an_error_of_the_run() -> None:
    @simulate(nodes={"redis": redis_stand_in})
    async def run(_: World) -> None:
        client = redis.asyncio.Redis(host="redis")
        with pytest.raises(redis.RedisError, match="does not model HSET"):
            await client.hset("h", "a", "1")
        await client.aclose()

    with pytest.raises(ServiceDefect, match="does not model HSET"):
        run()
