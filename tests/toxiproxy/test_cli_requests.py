"""Section 2.7: what toxiproxy-cli (the Go client) asks, request by request, and what it needs in the answers."""

from __future__ import annotations

from tests.toxiproxy.support import connected, connects, echo, on_loop, serving, talk, upstream

AGENT = {"User-Agent": "toxiproxy-cli/v2.12.0 (linux/amd64)", "Content-Type": "application/json"}
"""The header that the client sets on every request."""


@on_loop
async def test_proxies_as_the_command_line_client_asks() -> None:
    async with serving() as api, upstream(echo) as address:
        # create -l -u: the client's whole proxy, empty fields and all.
        body = {"name": "p", "listen": "127.0.0.1:0", "upstream": address, "enabled": True, "toxics": None}
        created = await api.call("POST", "/proxies", body, headers=AGENT)
        assert created.status == 201
        assert set(created.json) >= {"name", "listen", "upstream", "enabled", "toxics"}
        # list: an object by name, whose toxics are counted.
        listed = (await api.call("GET", "/proxies", headers=AGENT)).json
        assert [(name, len(proxy["toxics"])) for name, proxy in listed.items()] == [("p", 0)]
        # inspect; an unknown one must be JSON with `error`, which it prints.
        assert (await api.call("GET", "/proxies/p", headers=AGENT)).json == created.json
        unknown = await api.call("GET", "/proxies/q", headers=AGENT)
        assert (unknown.status, unknown.json["error"]) == (404, "proxy not found")
        # toggle: reads, flips, sends everything back.
        for enabled in (False, True):
            shown = (await api.call("GET", "/proxies/p", headers=AGENT)).json
            changed = await api.call("POST", "/proxies/p", {**shown, "enabled": enabled}, headers=AGENT)
            assert changed.json["enabled"] is enabled
            assert connects(shown["listen"]) is enabled
        assert (await api.call("DELETE", "/proxies/p", headers=AGENT)).status == 204


@on_loop
async def test_toxics_as_the_command_line_client_asks() -> None:
    kinds: dict[str, dict[str, float]] = {
        "latency": {"latency": 5, "jitter": 1}, "bandwidth": {"rate": 100_000}, "slow_close": {"delay": 1},
        "timeout": {"timeout": 1000}, "reset_peer": {"timeout": 1000}, "limit_data": {"bytes": 1000},
        "slicer": {"average_size": 64, "size_variation": 32, "delay": 10}, "noop": {},
    }  # fmt: skip
    async with serving(proxy_metrics=True) as api, upstream(echo) as address:
        listen = (await api.proxy(address)).json["listen"]
        for kind, attributes in kinds.items():
            # toxic add -t -n --toxicity -a k=v -u; without a name the server makes one, which the client prints.
            body = {"name": "", "type": kind, "stream": "upstream", "toxicity": 0.5, "attributes": attributes}
            added = (await api.call("POST", "/proxies/p/toxics", body, headers=AGENT)).json
            assert (added["name"], added["toxicity"]) == (f"{kind}_upstream", 0.5)
            # toxic update -n -a: without --toxicity it sends 1.
            body = {"toxicity": 1.0, "attributes": attributes}
            path = f"/proxies/p/toxics/{added['name']}"
            updated = (await api.call("PATCH", path, body, headers=AGENT)).json
            assert (updated["toxicity"], updated["attributes"]) == (1, attributes)
            if kind not in ("timeout", "reset_peer"):
                async with connected(listen) as streams:
                    assert await talk(streams) == b"hello"
            assert (await api.call("DELETE", path, headers=AGENT)).status == 204
        text = (await api.call("GET", "/metrics", headers=AGENT)).body.decode()
        for name in ("received", "sent"):
            assert f'toxiproxy_proxy_{name}_bytes_total{{direction="upstream"' in text
