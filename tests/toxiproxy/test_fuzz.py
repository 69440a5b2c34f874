"""Whatever is sent to the API: it answers with what the contract has, goes on, and leaks nothing."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import quote

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.toxiproxy.toxics.catalogue import TOXICS
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
    st.sampled_from(sorted({name for toxic in TOXICS.values() for name in toxic.kinds()} | {"LATENCY", "x"})),
    numbers | st.sampled_from(["g", "g" * 201]) | anything,
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
    optional={
        "enabled": st.booleans() | anything,
        "accepting": st.booleans() | anything,
        "toxics": st.lists(toxics, max_size=2) | anything,
    },
)
fine = st.fixed_dictionaries({"name": st.sampled_from(["a", "b"]), "upstream": st.just("UPSTREAM")}, optional={
    "listen": st.just("127.0.0.1:0"), "enabled": st.booleans(), "accepting": st.booleans(),
    "toxics": st.lists(toxics, max_size=2),
})  # fmt: skip
bodies = st.one_of(fine, proxies, toxics, st.lists(fine | proxies, max_size=3), anything)
own = st.sampled_from(["a", "b", "a", "p"]) | names.map(lambda name: quote(name, safe=""))
toxic_names = st.sampled_from([f"{kind}_downstream" for kind in TOXICS]) | own
paths = st.one_of(
    st.sampled_from(
        ["/proxies", "/populate", "/reset", "/version", "/metrics", "/", "//proxies", "/proxies/", "*"]
    ),
    own.map(lambda name: f"/proxies/{name}"),
    own.map(lambda name: f"/proxies/{name}/toxics"),
    st.tuples(own, toxic_names).map(lambda pair: f"/proxies/{pair[0]}/toxics/{pair[1]}"),
    own.map(lambda name: f"/proxies/{name}/connections"),
    st.just("/connections"),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=12).map(lambda text: "/" + text),
)
methods = st.sampled_from(["GET", "POST", "PATCH", "DELETE", "HEAD", "PUT", "BREW"])
whole = st.just(10)  # tenths of the body that are sent
requests = st.lists(
    st.one_of(
        st.tuples(st.just("POST"), st.just("/proxies"), fine | proxies, whole),
        st.tuples(st.just("POST"), st.just("/populate"), st.lists(fine | proxies, max_size=3), whole),
        st.tuples(st.just("POST"), own.map(lambda name: f"/proxies/{name}/toxics"), toxics, whole),
        st.tuples(
            st.just("PATCH"), st.tuples(own, toxic_names).map(lambda pair: f"/proxies/{pair[0]}/toxics/{pair[1]}"),
            toxics, whole,
        ),
        st.tuples(st.just("PATCH"), own.map(lambda name: f"/proxies/{name}"), fine | proxies, whole),
        st.tuples(st.just("POST"), st.just("/proxies/p/connections/reset"), anything, whole),
        st.tuples(methods, paths, bodies, st.integers(0, 12)),
    ),
    min_size=1, max_size=12,
)  # fmt: skip


@given(requests, st.booleans())
@FUZZ
def test_any_sequence_of_requests(sent: list[tuple[str, str, Any, int]], strict: bool) -> None:
    send_all(sent, strict)


@on_loop
async def send_all(sent: list[tuple[str, str, Any, int]], strict: bool) -> None:
    async with serving(proxy_metrics=True, strict=strict) as api, upstream(echo) as address:
        await api.proxy(address)
        for method, path, body, tenths in sent:
            raw = json.dumps(body).replace('"UPSTREAM"', f'"{address}"').encode()
            answer = await api.call(method, path, raw=raw[: len(raw) * tenths // 10])
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
        if proxy["enabled"] and proxy.get("accepting", True):
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
