"""aiohttp on the simulated network as on a real kernel: every test runs in both testbeds."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.conformance.programs import BIG
from tests.conformance.testbeds import Testbed


def session(testbed: Testbed) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(f"http://{testbed.host}:{testbed.port}/")


async def port_of(http: aiohttp.ClientSession, path: str = "/") -> str:
    """The port of the connection that the request came by."""
    async with http.get(path) as answer:
        return await answer.text()


async def handled(testbed: Testbed) -> list[str]:
    """What the server was asked for so far."""
    async with session(testbed) as http, http.get("/count") as answer:
        found: list[str] = await answer.json()
        return found


def test_connections_are_kept_and_expire(testbed: Testbed) -> None:
    async def client(testbed: Testbed) -> None:
        await testbed.start("website")
        async with session(testbed) as http:
            first = await port_of(http)
            assert await port_of(http) == first
            # The server ends what is idle for 0.3 s, and the client then takes a new one.
            await asyncio.sleep(0.6)
            assert await port_of(http) != first

    testbed.run(client)


def test_nobody_there(testbed: Testbed) -> None:
    async def client(testbed: Testbed) -> None:
        async with session(testbed) as http:
            with pytest.raises(aiohttp.ClientConnectorError) as caught:
                await http.get("/")
            assert isinstance(caught.value.os_error, ConnectionRefusedError)

    testbed.run(client)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_killed_while_it_works_on_the_answer(testbed: Testbed, method: str) -> None:
    async def client(testbed: Testbed) -> None:
        await testbed.start("website")
        async with session(testbed) as http:
            asked = asyncio.ensure_future(http.request(method, "/hang"))
            await asyncio.sleep(0.1)
            await testbed.kill()
            with pytest.raises(aiohttp.ClientConnectionError) as caught:
                await asked
            # A GET is silently tried once more, and meets a port that is closed, or just about to be.
            assert method == "GET" or type(caught.value) is aiohttp.ServerDisconnectedError

    testbed.run(client)


def test_killed_in_the_middle_of_the_answer(testbed: Testbed) -> None:
    async def client(testbed: Testbed) -> None:
        await testbed.start("website")
        async with session(testbed) as http, http.get("/half") as answer:
            assert answer.status == 200
            assert await answer.content.readexactly(len(BIG)) == BIG
            await testbed.kill()
            with pytest.raises(aiohttp.ClientPayloadError):
                await answer.content.read()

    testbed.run(client)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_restarted_between_two_requests(testbed: Testbed, method: str) -> None:
    async def client(testbed: Testbed) -> None:
        await testbed.start("website")
        async with session(testbed) as http:
            await port_of(http)
            await testbed.kill()
            await testbed.start("website")
            await asyncio.sleep(0.05)
            async with http.request(method, "/") as answer:
                assert answer.status == 200
        assert await handled(testbed) == [f"{method} /"]

    testbed.run(client)


@pytest.mark.parametrize(
    "timeout",
    [aiohttp.ClientTimeout(total=0.2), aiohttp.ClientTimeout(sock_read=0.2)],
    ids=["total", "sock_read"],
)
def test_an_answer_that_does_not_come_times_out(testbed: Testbed, timeout: aiohttp.ClientTimeout) -> None:
    async def client(testbed: Testbed) -> None:
        loop = asyncio.get_running_loop()
        await testbed.start("website")
        async with session(testbed) as http:
            start_s = loop.time()
            with pytest.raises(TimeoutError):
                await http.get("/hang", timeout=timeout)
            assert 0.19 < loop.time() - start_s < 1
            with pytest.raises(TimeoutError):
                async with http.get("/half", timeout=timeout) as answer:
                    await answer.read()

    testbed.run(client)


def test_a_connection_attempt_that_is_not_answered_times_out(testbed: Testbed) -> None:
    async def client(testbed: Testbed) -> None:
        async with testbed.unanswered() as (host, port), aiohttp.ClientSession() as http:
            with pytest.raises(aiohttp.ConnectionTimeoutError):
                await http.get(f"http://{host}:{port}/", timeout=aiohttp.ClientTimeout(sock_connect=0.2))

    testbed.run(client)


def test_giving_up_does_not_stop_the_server(testbed: Testbed) -> None:
    """aiohttp's default: a handler is not cancelled when its client goes away."""

    async def client(testbed: Testbed) -> None:
        await testbed.start("website")
        async with session(testbed) as http:
            asked = asyncio.ensure_future(http.get("/slow"))
            await asyncio.sleep(0.1)
            asked.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asked
        await asyncio.sleep(0.3)
        assert await handled(testbed) == ["GET /slow", "slow is done"]

    testbed.run(client)


def test_a_stopped_server_answers_when_it_goes_on(testbed: Testbed) -> None:
    async def client(testbed: Testbed) -> None:
        await testbed.start("website")
        async with session(testbed) as http:
            await testbed.pause()
            asked = asyncio.ensure_future(port_of(http))
            await asyncio.sleep(0.3)
            assert not asked.done()
            await testbed.resume()
            assert (await asyncio.wait_for(asked, 5)).isdigit()

    testbed.run(client)


def test_bodies_both_ways(testbed: Testbed) -> None:
    async def client(testbed: Testbed) -> None:
        await testbed.start("website")
        async with session(testbed) as http:
            async with http.post("/upload", data=io.BytesIO(BIG * 3)) as answer:
                assert await answer.text() == str(3 * len(BIG))

            async def pieces() -> AsyncIterator[bytes]:
                for _ in range(3):
                    yield BIG

            async with http.post("/upload", data=pieces(), expect100=True) as answer:
                assert await answer.text() == str(3 * len(BIG))
            async with http.get("/stream") as answer:
                assert answer.headers["Transfer-Encoding"] == "chunked"
                assert await answer.read() == BIG * 3

    testbed.run(client)


def test_web_sockets(testbed: Testbed) -> None:
    async def client(testbed: Testbed) -> None:
        await testbed.start("website")
        async with session(testbed) as http, http.ws_connect("/socket") as socket:
            for word in ("one", "two" * 100_000):
                await socket.send_str(word)
                assert await socket.receive_str() == word.upper()
            await socket.ping()
            await testbed.kill()
            message = await socket.receive(timeout=5)
            assert message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
            assert socket.close_code == aiohttp.WSCloseCode.ABNORMAL_CLOSURE

    testbed.run(client)
