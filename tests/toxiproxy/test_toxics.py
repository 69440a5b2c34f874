"""Section 2.4: what a toxic is in the API: defaults, order, updates; and the checks that Toxiproxy lacks."""

from __future__ import annotations

import pytest

from tests.toxiproxy.support import on_loop, serving

ATTRIBUTES = {
    "noop": {},
    "latency": {"latency": 0, "jitter": 0},
    "bandwidth": {"rate": 0},
    "slow_close": {"delay": 0},
    "timeout": {"timeout": 0},
    "reset_peer": {"timeout": 0},
    "limit_data": {"bytes": 0},
    "slicer": {"average_size": 1, "size_variation": 0, "delay": 0},
}


@pytest.mark.parametrize("kind", ATTRIBUTES)
@on_loop
async def test_defaults(kind: str) -> None:
    async with serving() as api:
        await api.proxy("x:1")
        given = {"average_size": 1} if kind == "slicer" else None
        body = {"type": kind, "attributes": given, "stream": None, "toxicity": None, "name": None}
        answer = await api.call("POST", "/proxies/p/toxics", body)
        assert answer.json == {
            "attributes": ATTRIBUTES[kind], "name": f"{kind}_downstream", "type": kind, "stream": "downstream",
            "toxicity": 1,
        }  # fmt: skip
        assert b'"toxicity":1,' in answer.body or answer.body.endswith(b'"toxicity":1}')


@on_loop
async def test_the_stream_is_read_in_any_case_and_kept_as_sent() -> None:
    async with serving() as api:
        await api.proxy("x:1")
        answer = await api.call("POST", "/proxies/p/toxics", {"type": "latency", "stream": "UPSTREAM"})
        assert (answer.json["name"], answer.json["stream"]) == ("latency_UPSTREAM", "UPSTREAM")


@on_loop
async def test_lists_show_upstream_first_each_in_order_of_creation() -> None:
    async with serving() as api:
        await api.proxy("x:1")
        for name, stream in (
            ("d1", "downstream"),
            ("u1", "upstream"),
            ("d2", "downstream"),
            ("u2", "upstream"),
        ):
            await api.call("POST", "/proxies/p/toxics", {"type": "noop", "name": name, "stream": stream})
        names = [toxic["name"] for toxic in (await api.call("GET", "/proxies/p/toxics")).json]
        assert names == ["u1", "u2", "d1", "d2"]
        shown = (await api.call("GET", "/proxies/p")).json["toxics"]
        assert [toxic["name"] for toxic in shown] == names


@on_loop
async def test_an_update_merges_attributes_and_ignores_the_rest() -> None:
    async with serving() as api:
        await api.proxy("x:1")
        await api.toxic("latency", latency=100, jitter=10)
        path = "/proxies/p/toxics/latency_downstream"
        body = {"name": "n", "type": "noop", "stream": "upstream", "attributes": {"JITTER": 20, "x": "y"}}
        changed = await api.call("PATCH", path, body)
        assert changed.json == {
            "attributes": {"latency": 100, "jitter": 20}, "name": "latency_downstream", "type": "latency",
            "stream": "downstream", "toxicity": 1,
        }  # fmt: skip
        assert (await api.call("POST", path, {"toxicity": 0.25})).json["toxicity"] == 0.25
        assert (await api.call("PATCH", path, {})).json["toxicity"] == 0.25
        assert (await api.call("GET", path)).json["attributes"] == {"latency": 100, "jitter": 20}


@on_loop
async def test_the_old_style_of_attributes_is_ignored() -> None:
    async with serving() as api:
        await api.proxy("x:1")
        answer = await api.call("POST", "/proxies/p/toxics", {"type": "latency", "latency": 100})
        assert answer.json["attributes"] == {"latency": 0, "jitter": 0}


@pytest.mark.parametrize(
    "change",
    [
        {"attributes": {"latency": 77, "jitter": "bad"}},
        {"attributes": {"latency": 77, "jitter": -1}},
        {"attributes": {"latency": 77}, "toxicity": 2},
        {"attributes": {"latency": 77}, "toxicity": "1"},
        {"attributes": {"latency": 77}, "expires_in_s": -1},
        {"attributes": [1]},
    ],
)
@on_loop
async def test_an_update_is_done_as_a_whole_or_not_at_all(change: dict[str, object]) -> None:
    async with serving() as api:
        await api.proxy("x:1")
        before = (await api.toxic("latency", latency=5)).json
        assert (await api.call("PATCH", "/proxies/p/toxics/latency_downstream", change)).status == 400
        assert (await api.call("GET", "/proxies/p/toxics/latency_downstream")).json == before


@pytest.mark.parametrize(
    ("kind", "attributes", "told"),
    [
        ("latency", {"latency": -5}, "latency.latency must be from 0 to 31536000000, not -5"),
        ("latency", {"jitter": 2**63 - 1}, "latency.jitter must be from 0"),
        ("latency", {"jitter": 10**30}, "a number of more than 64 bits"),
        ("latency", {"latency": -5, "jitter": -5}, "latency.jitter"),
        ("bandwidth", {"rate": -1}, "bandwidth.rate must be from 0"),
        ("slow_close", {"delay": -1}, "slow_close.delay"),
        ("timeout", {"timeout": -1}, "timeout.timeout"),
        ("reset_peer", {"timeout": -1}, "reset_peer.timeout"),
        ("limit_data", {"bytes": -1}, "limit_data.bytes"),
        ("slicer", {}, "slicer.average_size must be from 1"),
        ("slicer", {"average_size": 5, "size_variation": 6}, "slicer.size_variation (6) must not exceed"),
        ("slicer", {"average_size": 5, "delay": -1}, "slicer.delay"),
    ],
)
@on_loop
async def test_attributes_out_of_range_are_refused(kind: str, attributes: dict[str, int], told: str) -> None:
    async with serving() as api:
        await api.proxy("x:1")
        answer = await api.call("POST", "/proxies/p/toxics", {"type": kind, "attributes": attributes})
        assert answer.status == 400
        assert answer.json["error"].startswith("bad request body: ")
        assert told in answer.json["error"]
        assert (await api.call("GET", "/proxies/p/toxics")).json == []


@pytest.mark.parametrize("toxicity", [7, -1, -0.001, 1.001, 10**400])
@on_loop
async def test_toxicity_out_of_range_is_refused(toxicity: float) -> None:
    async with serving() as api:
        await api.proxy("x:1")
        answer = await api.call("POST", "/proxies/p/toxics", {"type": "noop", "toxicity": toxicity})
        assert answer.status == 400
        assert "toxicity must be from 0 to 1" in answer.json["error"]


@on_loop
async def test_a_toxic_name_that_could_never_be_addressed_is_refused() -> None:
    async with serving() as api:
        await api.proxy("x:1")
        answer = await api.call("POST", "/proxies/p/toxics", {"type": "noop", "name": "a/b"})
        assert answer.status == 400


@on_loop
async def test_the_same_type_on_both_streams_has_two_names() -> None:
    async with serving() as api:
        await api.proxy("x:1")
        for stream in ("upstream", "downstream"):
            assert (await api.toxic("latency", stream)).json["name"] == f"latency_{stream}"


@on_loop
async def test_packet_loss_is_not_a_type() -> None:
    """A proxy cannot lose packets: dropping parts of a stream would make it another stream."""
    async with serving() as api:
        await api.proxy("x:1")
        answer = await api.call("POST", "/proxies/p/toxics", {"type": "packet_loss"})
        assert (answer.status, answer.json["error"]) == (400, "invalid toxic type")
