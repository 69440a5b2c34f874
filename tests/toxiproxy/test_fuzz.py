"""Whatever is sent to the API: it answers with what the contract has, goes on, and leaks nothing."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import quote

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.toxiproxy.toxics import TOXICS
from tests.toxiproxy.support import Api, closed, connected, echo, on_loop, serving, upstream

STATUSES = {200, 201, 204, 301, 400, 403, 404, 405, 409, 500}

FUZZ = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)

anything: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
names = st.sampled_from(["a", "b", "ü /?%", "..", "x/y", ""])
# Nothing here is ever looked up by name: a text without a colon has no port.
listens = st.sampled_from(
    ["127.0.0.1:0", "localhost:0", "[::1]:0", "127.0.0.1:99999", "127.0.0.1:1:1", "[::1"]
) | (st.text(st.characters(exclude_characters=":"), min_size=1, max_size=5))
numbers = st.sampled_from([0, 1, -1, 5, 2**31, 2**63 - 1, 2**63, 10**30]) | st.integers(0, 2000)
attributes = st.dictionaries(
    st.sampled_from(sorted({name for toxic in TOXICS.values() for name in toxic.names()} | {"LATENCY", "x"})),
    numbers | anything,
    max_size=3,
)
toxics = st.fixed_dictionaries(
    {"type": st.sampled_from([*TOXICS, "unheard_of"])},
    optional={
        "name": names | anything,
        "stream": st.sampled_from(["upstream", "downstream", "UPSTREAM", "", None, "sideways"]),
        "toxicity": st.sampled_from([0, 0.5, 1, -1, 2, None, "1"]),
        "attributes": attributes | anything,
        "expires_in_s": st.sampled_from([0, 0.001, 1, 10**400, -1, None]),
    },
)
proxies = st.fixed_dictionaries(
    {"name": names | anything, "upstream": st.just("UPSTREAM") | anything, "listen": listens},
    optional={"enabled": st.booleans() | anything, "toxics": st.lists(toxics, max_size=2) | anything},
)
bodies = st.one_of(proxies, toxics, st.lists(proxies, max_size=3), anything)
paths = st.one_of(
    st.sampled_from(
        ["/proxies", "/populate", "/reset", "/version", "/metrics", "/", "//proxies", "/proxies/", "*"]
    ),
    names.map(lambda name: f"/proxies/{quote(name, safe='')}"),
    names.map(lambda name: f"/proxies/{quote(name, safe='')}/toxics"),
    st.tuples(names, names).map(
        lambda pair: f"/proxies/{quote(pair[0], safe='')}/toxics/{quote(pair[1], safe='')}"
    ),
    names.map(lambda name: f"/proxies/{quote(name, safe='')}/connections/reset"),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=12).map(lambda text: "/" + text),
)
methods = st.sampled_from(["GET", "POST", "PATCH", "DELETE", "POST", "POST", "HEAD", "PUT", "BREW"])
requests = st.lists(st.tuples(methods, paths, bodies, st.integers(0, 12)), min_size=1, max_size=10)


@given(requests)
@FUZZ
def test_any_sequence_of_requests(sent: list[tuple[str, str, Any, int]]) -> None:
    send_all(sent)


@on_loop
async def send_all(sent: list[tuple[str, str, Any, int]]) -> None:
    async with serving(proxy_metrics=True) as api, upstream(echo) as address:
        for method, path, body, cut in sent:
            raw = json.dumps(body).replace('"UPSTREAM"', f'"{address}"').encode()
            # Now and then the body is cut short: not JSON any more, or the end of it is missing.
            answer = await api.call(method, path, raw=raw[: len(raw) * cut // 10])
            assert answer.status in STATUSES
            if answer.status == 500:
                assert answer.json["error"].startswith(("listen tcp", "address ", "lookup "))
            if answer.status >= 400 and answer.body.startswith(b"{"):
                assert answer.json["status"] == answer.status
            await use(api)
        assert (await api.call("GET", "/version")).status == 200


async def use(api: Api) -> None:
    """Some traffic through what is there now, so that toxics have something to do."""
    for proxy in (await api.call("GET", "/proxies")).json.values():
        if proxy["enabled"]:
            async with connected(proxy["listen"]) as (_, writer):
                writer.write(b"hello" * 10)
                await asyncio.sleep(0)


@given(st.binary(max_size=200), st.integers(0, 3))
@FUZZ
def test_bytes_that_are_not_http(noise: bytes, kind: int) -> None:
    head = (b"", b"GET /proxies HTTP/1.1\r\n", b"POST /proxies HTTP/1.1\r\nHost: x\r\n", b"PATCH ")[kind]
    send_noise(head + noise)


@on_loop
async def send_noise(noise: bytes) -> None:
    async with serving() as api:
        reader, writer = await asyncio.open_connection(api.server.host, api.server.port)
        writer.write(noise)
        writer.write_eof()
        try:
            answered = await reader.read()
        except ConnectionError:
            answered = b""
        assert b"internal error" not in answered
        await closed(writer)
        assert (await api.call("GET", "/version")).status == 200
