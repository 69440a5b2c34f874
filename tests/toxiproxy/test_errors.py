"""Section 2.2: error bodies, their headers, their order, and how request bodies are read."""

from __future__ import annotations

import pytest

from tests.toxiproxy.support import Answer, on_loop, serving


def told(answer: Answer) -> tuple[int, str]:
    assert answer.json["status"] == answer.status
    return answer.status, answer.json["error"]


@on_loop
async def test_an_error_is_json_that_says_it_is_text() -> None:
    async with serving() as api:
        answer = await api.call("GET", "/proxies/p")
        assert answer.body == b'{"error":"proxy not found","status":404}\n'
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert answer.headers["x-content-type-options"] == "nosniff"


@on_loop
async def test_an_error_of_populate_is_json_without_a_newline_and_with_proxies() -> None:
    async with serving() as api:
        answer = await api.call("POST", "/populate", [{"name": "a", "upstream": "x:1"}, {}])
        assert (
            answer.body == b'{"error":"missing required field: name at proxy 2","status":400,"proxies":null}'
        )
        assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", "bad request body: EOF"),
        (b"  \n", "bad request body: EOF"),
        (b"{", "bad request body: unexpected EOF"),
        (b'{"name":"a', "bad request body: unexpected EOF"),
        (b"null", "missing required field: name"),
        (b"{}", "missing required field: name"),
        (b'{"name":""}', "missing required field: name"),
        (b'{"name":null,"upstream":"x:1"}', "missing required field: name"),
        (b'{"name":"a"}', "missing required field: upstream"),
        (b'{"name":"a","upstream":""}', "missing required field: upstream"),
    ],
)
@on_loop
async def test_what_creating_complains_of(body: bytes, error: str) -> None:
    async with serving() as api:
        assert told(await api.call("POST", "/proxies", raw=body)) == (400, error)


@pytest.mark.parametrize(
    "body",
    [
        b"[]", b"1", b'"x"', b"nonsense", b'{"name":5}', b'{"name":"a","upstream":"x:1","enabled":"yes"}',
        b'{"name":"a","upstream":"x:1","enabled":1}', b"{]", b"NaN", b'{"name":["a"]}', b"[" * 100_000,
        b'{"name":' + b"9" * 10_000 + b"}", b"\xff\xfe", b'{"name":"a\x00"}',
    ],
)  # fmt: skip
@on_loop
async def test_other_bodies_are_refused_with_a_detail(body: bytes) -> None:
    async with serving() as api:
        status, error = told(await api.call("POST", "/proxies", raw=body))
        assert status == 400
        assert error.startswith("bad request body: ")


@on_loop
async def test_type_errors_are_in_the_words_of_go() -> None:
    async with serving() as api:
        answer = await api.call("POST", "/proxies", {"name": "a", "upstream": "x:1", "enabled": "yes"})
        assert told(answer)[1] == (
            "bad request body: json: cannot unmarshal string into Go struct field Proxy.enabled of type bool"
        )


@on_loop
async def test_keys_of_any_case_unknown_keys_nulls_repeats_and_what_follows() -> None:
    async with serving() as api:
        body = b'{"NAME":"x","Name":"a","UPSTREAM":"x:1","listen":"127.0.0.1:0","enabled":null,"Logger":{}} trailing {'
        answer = await api.call("POST", "/proxies", headers={"Content-Type": "text/html"}, raw=body)
        assert answer.status == 201
        assert answer.json["name"] == "a"
        assert answer.json["enabled"] is True
        assert "Logger" not in answer.json


@on_loop
async def test_half_a_surrogate_pair_in_a_name_becomes_a_replacement_character() -> None:
    async with serving() as api:
        answer = await api.call(
            "POST", "/proxies", raw=b'{"name":"a\\ud800","upstream":"x:1","enabled":false}'
        )
        assert answer.json["name"] == "a\ufffd"
        assert (await api.call("GET", "/proxies/a%EF%BF%BD")).status == 200


@on_loop
async def test_not_found_comes_before_the_body_is_read() -> None:
    async with serving() as api:
        assert told(await api.call("PATCH", "/proxies/p", raw=b"{")) == (404, "proxy not found")
        await api.proxy("x:1")
        assert told(await api.call("PATCH", "/proxies/p/toxics/t", raw=b"{")) == (404, "toxic not found")
        for method in ("GET", "DELETE", "PATCH"):
            assert told(await api.call(method, "/proxies/q/toxics/t"))[1] == "proxy not found"
        assert told(await api.call("POST", "/proxies/q/toxics", raw=b"{"))[1] == "proxy not found"
        assert told(await api.call("GET", "/proxies/q/toxics"))[1] == "proxy not found"
        assert told(await api.call("DELETE", "/proxies/q"))[1] == "proxy not found"


@on_loop
async def test_the_order_in_which_a_toxic_is_checked() -> None:
    async with serving() as api:
        await api.proxy("x:1")
        await api.toxic("latency")
        path = "/proxies/p/toxics"
        taken = {"name": "latency_downstream"}
        stream = "stream was invalid, can be either upstream or downstream"
        for body, status, error in (
            ({**taken, "stream": "sideways", "type": "wrong"}, 400, stream),
            ({**taken, "stream": "", "type": "latency"}, 400, stream),
            ({**taken, "type": "wrong"}, 400, "invalid toxic type"),
            (taken, 400, "invalid toxic type"),
            ({**taken, "type": "latency", "attributes": {"latency": "no"}}, 409, "toxic already exists"),
            ({**taken, "type": "bandwidth", "stream": "upstream"}, 409, "toxic already exists"),
        ):
            assert told(await api.call("POST", path, body)) == (status, error)
        for value in (1.5, "5", True, [1], {"a": 1}):
            answer = await api.call(
                "POST", path, {"type": "latency", "name": "n", "attributes": {"latency": value}}
            )
            assert told(answer)[0] == 400
            assert told(answer)[1].startswith("bad request body: json: cannot unmarshal ")
        assert len((await api.call("GET", path)).json) == 1
