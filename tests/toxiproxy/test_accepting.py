"""`"accepting": false`: connects get no answer, as from a machine that is not there; what is open goes on."""

from __future__ import annotations

import asyncio
import socket

import pytest

from tests.toxiproxy.support import Api, connected, echo, on_loop, serving, talk, upstream

SOON_S = 0.15


async def silent(listen: str) -> bool:
    """Whether a connect is neither accepted nor refused."""
    try:
        async with asyncio.timeout(SOON_S), connected(listen):
            return False
    except TimeoutError:
        return True


async def accepting(api: Api, value: bool) -> None:
    answer = await api.call("PATCH", "/proxies/p", {"accepting": value})
    assert answer.status == 200
    assert answer.json.get("accepting", True) is value
    assert ("accepting" in answer.json) is not value


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.9", "[::1]", "0.0.0.0", ""])
@on_loop
async def test_connects_get_no_answer_and_open_connections_go_on(host: str) -> None:
    async with serving() as api, upstream(echo) as address:
        listen = (await api.proxy(address, listen=f"{host}:0")).json["listen"].replace("[::]", "127.0.0.1")
        async with connected(listen) as open_before:
            assert await talk(open_before) == b"hello"
            await accepting(api, False)
            assert await silent(listen)
            assert await silent(listen)
            assert await talk(open_before) == b"hello"
            await accepting(api, False)  # again: as it was
            assert await silent(listen)
            await accepting(api, True)
            async with connected(listen) as after:
                assert await talk(after) == b"hello"
            assert await talk(open_before) == b"hello"


@on_loop
async def test_who_goes_on_trying_gets_through_when_it_is_over() -> None:
    async with serving() as api, upstream(echo) as address:
        listen = (await api.proxy(address, accepting=False)).json["listen"]

        async def visit() -> bytes:
            async with connected(listen) as streams:
                return await talk(streams)

        trying = asyncio.ensure_future(visit())
        await asyncio.sleep(SOON_S)
        assert not trying.done()
        await accepting(api, True)
        assert await trying == b"hello"  # with the kernel's next SYN, a second after the first
        answer = await api.call("GET", "/proxies/p/connections")
        assert answer.json["accepted"] == 1


@on_loop
async def test_it_outlives_disabling_and_ends_with_a_reset() -> None:
    async with serving() as api, upstream(echo) as address:
        listen = (await api.proxy(address)).json["listen"]
        await accepting(api, False)
        await api.call("PATCH", "/proxies/p", {"enabled": False})
        with pytest.raises(ConnectionRefusedError):
            await silent(listen)
        assert (await api.call("PATCH", "/proxies/p", {"enabled": True})).json["accepting"] is False
        assert await silent(listen)
        assert (await api.call("POST", "/reset")).status == 204
        assert not await silent(listen)


@on_loop
async def test_populate_makes_it_so_and_leaves_it_when_it_is_not_mentioned() -> None:
    async with serving() as api, upstream(echo) as address:
        asked = {"name": "p", "listen": "127.0.0.1:0", "upstream": address, "accepting": False}
        made = (await api.call("POST", "/populate", [asked])).json["proxies"][0]
        assert made["accepting"] is False
        again = {"name": "p", "listen": made["listen"], "upstream": address}
        assert (await api.call("POST", "/populate", [again])).json["proxies"][0]["accepting"] is False
        assert await silent(made["listen"])
        await api.call("POST", "/populate", [{**again, "accepting": True}])
        assert not await silent(made["listen"])


@on_loop
async def test_a_proxy_may_be_deleted_meanwhile() -> None:
    async with serving() as api, upstream(echo) as address:
        listen = (await api.proxy(address, accepting=False)).json["listen"]
        assert (await api.call("DELETE", "/proxies/p")).status == 204
        with pytest.raises(ConnectionRefusedError):
            await silent(listen)


@on_loop
async def test_a_proxy_can_refuse_connects_while_what_is_open_goes_on() -> None:
    """`"enabled": false, "drain": true`: as a process that is gone, whose last bytes are still on their way."""
    async with serving() as api, upstream(echo) as address:
        listen = (await api.proxy(address)).json["listen"]
        async with connected(listen) as before:
            assert await talk(before) == b"hello"
            answer = await api.call("PATCH", "/proxies/p", {"enabled": False, "drain": True})
            assert answer.json["enabled"] is False
            with pytest.raises(ConnectionRefusedError):
                async with connected(listen):
                    pass
            assert await talk(before) == b"hello"
            answer = await api.call("PATCH", "/proxies/p", {"enabled": True})
            assert answer.json["listen"] == listen
            async with connected(listen) as after:
                assert await talk(after) == b"hello"
            assert await talk(before) == b"hello"
            await api.call("PATCH", "/proxies/p", {"enabled": False, "drain": True})
            await api.call("DELETE", "/proxies/p")
            assert await before[0].read() == b""


@on_loop
async def test_nobody_else_gets_the_port_of_a_disabled_proxy() -> None:
    """One that the kernel has chosen is one that it gives to others, too. One that was named is free, as elsewhere."""
    async with serving() as api, upstream(echo) as address:
        listen = (await api.proxy(address)).json["listen"]
        port = int(listen.rpartition(":")[2])
        # Before the first connection, which would hold the port as well for a while.
        await api.call("PATCH", "/proxies/p", {"enabled": False})
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port))
        await api.call("PATCH", "/proxies/p", {"enabled": True})
        async with connected(listen) as before:
            assert await talk(before) == b"hello"
            for drain in (True, False):
                assert (
                    await api.call("PATCH", "/proxies/p", {"enabled": False, "drain": drain})
                ).status == 200
                with pytest.raises(ConnectionRefusedError):
                    async with connected(listen):
                        pass
                answer = await api.call("PATCH", "/proxies/p", {"enabled": True})
                assert (answer.status, answer.json["listen"]) == (200, listen)
                async with connected(listen) as after:
                    assert await talk(after) == b"hello"
        await api.call("PATCH", "/proxies/p", {"enabled": False})
        await api.call("DELETE", "/proxies/p")
        await api.proxy(address, listen=listen)
        await api.call("PATCH", "/proxies/p", {"enabled": False})
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.bind(("127.0.0.1", port))
            other.listen()
            assert (await api.call("PATCH", "/proxies/p", {"enabled": True})).status == 500
