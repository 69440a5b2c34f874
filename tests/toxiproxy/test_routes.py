"""Section 2.1 of the contract: paths, methods, status codes, headers, and what is not a route."""

from __future__ import annotations

import asyncio

import pytest

from harness.toxiproxy import http
from harness.toxiproxy.api import VERSION
from harness.toxiproxy.collection import ProxyCollection
from tests.toxiproxy.support import on_loop, serving


@on_loop
async def test_version_has_the_space_and_the_newline() -> None:
    async with serving() as api:
        answer = await api.call("GET", "/version")
        assert answer.status == 200
        assert answer.body == f'{{"version": "{VERSION}"}}\n'.encode()
        assert answer.headers["content-type"] == "application/json;charset=utf-8"


@on_loop
async def test_status_codes_and_shapes_of_every_route() -> None:
    async with serving() as api:
        assert (await api.call("GET", "/proxies")).json == {}
        created = await api.call(
            "POST", "/proxies", {"name": "p", "listen": "127.0.0.1:0", "upstream": "x:1"}
        )
        assert (created.status, created.headers["content-type"]) == (201, "application/json")
        assert created.body.startswith(b'{"name":"p","listen":"127.0.0.1:')
        assert (await api.call("GET", "/proxies")).json == {"p": created.json}
        assert (await api.call("GET", "/proxies/p")).json == created.json
        for method in ("PATCH", "POST"):
            assert (await api.call(method, "/proxies/p", {})).status == 200
        empty = await api.call("GET", "/proxies/p/toxics")
        assert (empty.status, empty.body) == (200, b"[]")
        added = await api.call("POST", "/proxies/p/toxics", {"type": "latency", "name": "t"})
        assert added.status == 200  # not 201
        assert (await api.call("GET", "/proxies/p/toxics")).json == [added.json]
        assert (await api.call("GET", "/proxies/p/toxics/t")).json == added.json
        for method in ("PATCH", "POST"):
            assert (await api.call(method, "/proxies/p/toxics/t", {})).status == 200
        gone = await api.call("DELETE", "/proxies/p/toxics/t")
        assert (gone.status, gone.body) == (204, b"")
        assert (await api.call("POST", "/reset")).status == 204
        populated = await api.call("POST", "/populate", [])
        assert (populated.status, populated.body) == (201, b'{"proxies":null}')
        assert (await api.call("DELETE", "/proxies/p")).status == 204
        assert (await api.call("GET", "/proxies")).body == b"{}"


@pytest.mark.parametrize(
    "path",
    [
        "/", "/nothing", "/proxies/", "/proxies/p/", "/proxies/p/toxics/", "/proxies/x%2Fy", "/proxies/p/toxics/t/u",
        "/metrics", "/Proxies", "/proxies/p/other", "/version/x",
    ],
)  # fmt: skip
@on_loop
async def test_an_unknown_path_is_plain_text(path: str) -> None:
    async with serving() as api:
        await api.proxy("x:1")
        answer = await api.call("GET", path)
        assert (answer.status, answer.body) == (404, b"404 page not found\n")
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert "x-toxiproxy-request-id" not in answer.headers


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/version"), ("DELETE", "/proxies"), ("GET", "/populate"), ("GET", "/reset"), ("PUT", "/proxies/p"),
        ("HEAD", "/proxies"), ("HEAD", "/version"), ("DELETE", "/proxies/p/toxics"), ("PUT", "/proxies/p/toxics/t"),
    ],
)  # fmt: skip
@on_loop
async def test_a_wrong_method_is_empty_and_allows_nothing(method: str, path: str) -> None:
    async with serving() as api:
        answer = await api.call(method, path)
        assert (answer.status, answer.body) == (405, b"")
        assert "allow" not in answer.headers
        assert "x-toxiproxy-request-id" not in answer.headers


@pytest.mark.parametrize(
    ("path", "location"),
    [("//proxies", "/proxies"), ("/./proxies?a=b", "/proxies?a=b"), ("/proxies/../version", "/version")],
)
@on_loop
async def test_paths_are_cleaned_by_redirect(path: str, location: str) -> None:
    async with serving() as api:
        answer = await api.call("GET", path)
        assert (answer.status, answer.headers["location"]) == (301, location)


@on_loop
async def test_queries_are_ignored_and_names_are_decoded() -> None:
    async with serving() as api:
        await api.proxy("x:1", name="a b%c")
        answer = await api.call("GET", "/proxies/a%20b%25c?verbose=1")
        assert answer.json["name"] == "a b%c"


@on_loop
async def test_matched_routes_answer_with_an_id_of_the_request() -> None:
    async with serving() as api:
        ids = [
            (await api.call("GET", path)).headers["x-toxiproxy-request-id"]
            for path in ("/proxies", "/version")
        ]
        ids.append((await api.call("GET", "/proxies/nothing")).headers["x-toxiproxy-request-id"])
        assert len(set(ids)) == 3


@on_loop
async def test_browsers_are_refused() -> None:
    async with serving(proxy_metrics=True) as api:
        for path in ("/proxies", "/version", "/metrics"):
            answer = await api.call("GET", path, headers={"User-Agent": "Mozilla/5.0 (X11)"})
            assert (answer.status, answer.body) == (403, b"User agent not allowed\n")
            assert answer.headers["content-type"] == "text/plain; charset=utf-8"
            assert "x-toxiproxy-request-id" in answer.headers
        for agent in ("mozilla/5.0", "curl/8", "x Mozilla/5.0"):
            assert (await api.call("GET", "/proxies", headers={"User-Agent": agent})).status == 200
        assert (await api.call("GET", "/nothing", headers={"User-Agent": "Mozilla/5.0"})).status == 404


@on_loop
async def test_a_handler_that_takes_too_long_is_a_503_page(monkeypatch: pytest.MonkeyPatch) -> None:
    async def stuck(self: ProxyCollection) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(ProxyCollection, "reset", stuck)
    async with serving(handler_timeout_s=0.05) as api:
        answer = await api.call("POST", "/reset")
        assert answer.status == 503
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert answer.body == (
            b"<html><head><title>Timeout</title></head><body><h1>Timeout</h1></body></html>"
        )


@on_loop
async def test_connections_are_kept_and_requests_may_be_pipelined() -> None:
    async with serving() as api:
        get = b"GET /proxies HTTP/1.1\r\nHost: x\r\n\r\n"
        last = b"GET /version HTTP/1.0\r\n\r\n"
        answers = await api.exchange(get + get + last)
        assert [answer.status for answer in answers] == [200, 200, 200]


@on_loop
async def test_bodies_may_be_chunked_and_may_wait_for_a_continue() -> None:
    async with serving() as api:
        head = b"POST /proxies HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n"
        chunks = (
            b'\r\n5;ext=1\r\n{"nam\r\n20\r\n'
            + b'e":"p","upstream":"x:1"}'.ljust(32)
            + b"\r\n0\r\nTrailer: 1\r\n\r\n"
        )
        assert [answer.status for answer in await api.exchange(head + chunks)] == [201]
        again = await api.exchange(head + b"Expect: 100-continue\r\n" + chunks)
        assert [answer.status for answer in again] == [100, 409]


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET /proxies HTTP/1.1\r\n\r\n", 400),  # no Host
        (b"GET proxies HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /proxies HTTP/1.1\r\nHost: x\r\nbroken\r\n\r\n", 400),
        (b"GET /proxies HTTP/3.0\r\nHost: x\r\n\r\n", 505),
        (b"POST /proxies HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST /proxies HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n", 413),
        (b"POST /proxies HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400),
        (b"POST /proxies HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"GET /proxies HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 100_000 + b"\r\n\r\n", 431),
    ],
)
@on_loop
async def test_what_is_not_http_is_refused_and_the_server_goes_on(sent: bytes, status: int) -> None:
    async with serving() as api:
        assert [answer.status for answer in await api.exchange(sent)] == [status]
        assert (await api.call("GET", "/version")).status == 200


@pytest.mark.parametrize(
    ("limit", "sent"),
    [("IDLE_S", b""), ("READ_S", b"POST /proxies HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")],
)
@on_loop
async def test_a_client_that_says_nothing_or_stops_half_way_is_let_go(
    monkeypatch: pytest.MonkeyPatch, limit: str, sent: bytes
) -> None:
    monkeypatch.setattr(http, limit, 0.05)
    async with serving() as api:
        assert await api.exchange(sent) == []
