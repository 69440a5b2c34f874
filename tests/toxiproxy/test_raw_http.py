"""The small print of requests: lines that end with LF, bodies that are cut, clients that abort, odd values."""

from __future__ import annotations

import asyncio
import socket

import pytest

from tests.toxiproxy.support import LINGER_RESET, Api, connects, on_loop, parse_answers, serving


async def half_closed(api: Api, sent: bytes) -> bytes:
    """What comes back when the client sends this and its end."""
    reader, writer = await asyncio.open_connection(api.server.host, api.server.port)
    writer.write(sent)
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


@on_loop
async def test_lines_may_end_with_a_line_feed_only() -> None:
    async with serving() as api:
        answers = await api.exchange(b"GET /version HTTP/1.1\nHost: x\nConnection: close\n\n")
        assert [answer.status for answer in answers] == [200]


@pytest.mark.parametrize("body", [b"", b'{"name": "p"', b'{"name": '])
@pytest.mark.parametrize("chunked", [False, True])
@on_loop
async def test_a_cut_body_is_answered(body: bytes, chunked: bool) -> None:
    async with serving() as api:
        head = b"POST /proxies HTTP/1.1\r\nHost: x\r\n"
        head += b"Transfer-Encoding: chunked\r\n\r\n64\r\n" if chunked else b"Content-Length: 100\r\n\r\n"
        (answer,) = parse_answers(await half_closed(api, head + body))
        assert answer.json == {"error": "bad request body: unexpected EOF", "status": 400}
        assert answer.headers["connection"] == "close"


@on_loop
async def test_a_client_that_aborts_is_no_error() -> None:
    async with serving() as api:
        for sent in (b"", b"GET /version", b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n" * 50):
            _, writer = await asyncio.open_connection(api.server.host, api.server.port)
            writer.write(sent)
            await asyncio.sleep(0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
            writer.transport.abort()
        await asyncio.sleep(0.02)
        assert (await api.call("GET", "/version")).status == 200


@on_loop
async def test_a_mapped_address_is_the_ipv4_one() -> None:
    async with serving() as api:
        made = await api.call(
            "POST", "/proxies", {"name": "p", "listen": "[::ffff:127.0.0.1]:0", "upstream": "x:1"}
        )
        assert made.status == 201
        assert made.json["listen"].startswith("127.0.0.1:")
        assert connects(made.json["listen"])


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'{"toxicity": 1e400}', "cannot unmarshal number 1e400 into"),
        (b'{"type": "latency", "attributes": {"latency": 1.50}}', "cannot unmarshal number 1.50 into"),
        (b'{"type": "no", "stream": "no", "attributes": "x"}', "cannot unmarshal string into"),
    ],
)
@on_loop
async def test_wrong_values_are_shown_as_they_were_sent_and_first(body: bytes, error: str) -> None:
    async with serving() as api:
        await api.proxy("x:1")
        answer = await api.call("POST", "/proxies/p/toxics", raw=body)
        assert answer.status == 400
        assert error in answer.json["error"]


@on_loop
async def test_the_message_about_a_port_names_the_port() -> None:
    async with serving() as api:
        answer = await api.call(
            "POST", "/proxies", {"name": "p", "listen": "127.0.0.1:99999", "upstream": "x:1"}
        )
        assert answer.json["error"] == "listen tcp: address 99999: invalid port"
