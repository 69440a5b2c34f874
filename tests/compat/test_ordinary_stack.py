"""FastAPI, uvicorn, httpx and redis-py, unmodified, in virtual time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import httpx
import pytest

from harness.faults.primitives import HttpRule
from harness.runtime.contract import RunSettings, Session
from harness.sim.runtime import SimRuntime
from harness.system import Access, Client, Host
from tests.compat.shop import PICTURE, Call, Done, api, served_api, with_api

APIS = pytest.mark.parametrize("service", [api, served_api])


def visit[T](
    service: object,
    body: Callable[[Host, Session], Awaitable[T]],
    picture: Path | None = None,
    without: frozenset[str] = frozenset(),
) -> T:
    async def run(session: Session) -> T:
        me = Client("me", "dc", "fast", Access(down_bps=100e6, up_bps=20e6, rtt_s=0.01))
        async with session.client(me, "shopper") as host:
            return await body(host, session)

    return SimRuntime().run(RunSettings(with_api(service, picture), 1, without), run)


@APIS
def test_the_whole_stack_answers(service: object) -> None:
    async def body(host: Host, session: Session) -> None:
        async with httpx.AsyncClient(verify=False) as http:
            start_s = host.clock.now()
            first = (await http.get("http://api/products/3")).json()
            assert 0.05 < host.clock.now() - start_s < 0.3
            second = (await http.get("http://api/products/3")).json()
        assert first == {"source": "catalog", "started": ["yes"], "id": 3, "cached": False}
        assert second["cached"] is True
        await host.clock.sleep(1)
        assert [record.row.order for record in session.records if isinstance(record.row, Done)] == ["3"]

    visit(service, body)


@APIS
def test_a_connection_of_httpx_is_used_again(service: object) -> None:
    async def body(host: Host, session: Session) -> None:
        async with httpx.AsyncClient(verify=False) as http:
            for _ in range(5):
                await http.get("http://api/blocking")
        assert (
            session.statistics()["connections"] <= 3
        )  # this one, and two of the worker and the catalog at most

    visit(service, body)


@APIS
def test_routes_in_threads_streams_files_and_web_sockets(service: object, tmp_path: Path) -> None:
    picture = tmp_path / "picture.bin"
    picture.write_bytes(PICTURE)

    async def body(host: Host, _: Session) -> None:
        async with httpx.AsyncClient(verify=False) as http:
            start_s = host.clock.now()
            assert (await http.get("http://api/blocking")).json() == "from a thread"
            assert host.clock.now() - start_s < 0.1
            assert (await http.get("http://api/stream")).text == "data: 0\n\ndata: 1\n\ndata: 2\n\n"
            answer = await http.get("http://api/picture")
            assert answer.content == PICTURE
            assert int(answer.headers["content-length"]) == len(PICTURE)
            assert (await http.get("http://api/nothing")).status_code == 404

    visit(service, body, picture)


def test_the_address_of_a_dependency() -> None:
    async def body(host: Host, _: Session) -> None:
        ip, port = await host.address("api", 80)
        async with httpx.AsyncClient(verify=False) as http:
            assert (await http.get(f"http://{ip}:{port}/blocking")).status_code == 200

    visit(api, body)


def test_a_web_socket_of_a_served_application() -> None:
    async def body(host: Host, _: Session) -> None:
        async with host.http("api").ws_connect("/echo") as socket:
            await socket.send_str("hello")
            assert await socket.receive_str() == "hello!"
            assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE

    visit(served_api, body)


def test_http_faults_apply_to_a_served_application() -> None:
    async def body(host: Host, session: Session) -> None:
        fault = await session.primitives.interfere("api-1", HttpRule(status=503, route="/products/*"))
        async with host.http("api").get("/products/1") as answer:
            assert answer.status == 503
        async with host.http("api").get("/blocking") as answer:
            assert answer.status == 200
        await fault.undo()
        assert fault.exposure().requests == 1
        async with host.http("api").get("/products/1") as answer:
            assert answer.status == 200

    visit(served_api, body)


@pytest.mark.parametrize(("without", "status"), [((), 200), (("api.fallback",), 503)])
def test_a_dependency_that_is_lost(without: tuple[str, ...], status: int) -> None:
    async def body(host: Host, session: Session) -> None:
        await session.primitives.kill("catalog-1")
        async with host.http("api").get("/products/1") as answer:
            assert answer.status == status

    visit(api, body, without=frozenset(without))


def test_runs_of_it_repeat_exactly() -> None:
    async def body(host: Host, session: Session) -> list[object]:
        async with httpx.AsyncClient(verify=False) as http:
            for number in range(5):
                start_s = host.clock.now()
                await http.get(f"http://api/products/{number}")
                host.emit(Call(host.clock.now(), True, host.clock.now() - start_s, None))
        return [record.row for record in session.records]

    assert visit(api, body) == visit(api, body)
