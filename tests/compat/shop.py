"""An ordinary stack, written as its team would: FastAPI under uvicorn, httpx and redis between services, a worker."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import fastapi
import httpx
import redis.asyncio as redis
import uvicorn
from fastapi.responses import FileResponse, StreamingResponse

from harness import Access, Client, Event, Host, Node, Safeguard, System, Topology, Workload

PICTURE = b"0123456789abcdef" * 40_000
"""Some hundred kilobytes: more than a connection takes at once."""


@dataclass(frozen=True, slots=True)
class Call:
    t_s: float
    ok: bool
    latency_s: float
    source: str | None


@dataclass(frozen=True, slots=True)
class Done:
    t_s: float
    order: str


def api_application(host: Host) -> fastapi.FastAPI:
    http = httpx.AsyncClient(timeout=0.5, verify=False)
    started: list[str] = []

    @asynccontextmanager
    async def lifespan(_: fastapi.FastAPI) -> AsyncIterator[None]:
        started.append("yes")
        yield

    app = fastapi.FastAPI(lifespan=lifespan)

    @app.get("/products/{number}")
    async def product(number: int) -> dict[str, object]:
        try:
            answer = await http.get(f"http://catalog/items/{number}")
            answer.raise_for_status()
        except httpx.HTTPError:
            if not host.safeguard("api.fallback"):
                raise fastapi.HTTPException(503) from None
            return {"source": "fallback", "id": number}
        return {"source": "catalog", "started": started, **answer.json()}

    @app.get("/blocking")
    def blocking() -> str:
        return "from a thread"

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            for number in range(3):
                await asyncio.sleep(0.1)
                yield b"data: %d\n\n" % number

        return StreamingResponse(parts(), media_type="text/event-stream")

    @app.get("/picture")
    async def picture() -> FileResponse:
        return FileResponse(str(host.config["picture"]))

    @app.websocket("/echo")
    async def echo(socket: fastapi.WebSocket) -> None:
        await socket.accept()
        await socket.send_text(await socket.receive_text() + "!")
        await socket.close()

    return app


async def api(host: Host) -> None:
    config = uvicorn.Config(api_application(host), host="0.0.0.0", port=80, log_level="critical")
    await uvicorn.Server(config).serve()


async def served_api(host: Host) -> None:
    """The same application behind `host.serve`: HTTP faults and costs apply to it."""
    await host.serve(api_application(host))


async def catalog(host: Host) -> None:
    app = fastapi.FastAPI()
    cache = redis.Redis(host="redis", port=6379, socket_timeout=0.2, protocol=2)

    @app.get("/items/{number}")
    async def item(number: int) -> dict[str, object]:
        found = await cache.get(f"item:{number}")
        if found is None:
            await host.clock.sleep(0.05)
            await cache.set(f"item:{number}", f"thing {number}", ex=30)
            await cache.lpush("orders", str(number))
        return {"id": number, "cached": found is not None}

    await uvicorn.Server(uvicorn.Config(app, host="0.0.0.0", port=80, log_level="critical")).serve()


async def worker(host: Host) -> None:
    """It has no port: it says that it is ready."""
    queue = redis.Redis(host="redis", port=6379, protocol=2, socket_timeout=5)
    host.ready()
    while True:
        if found := await queue.brpop(["orders"], timeout=1):
            order = found[1]
            host.emit(Done(host.clock.now(), order if isinstance(order, str) else order.decode()))


async def redis_node(_: Host) -> None:
    """Enough of a Redis server: GET, SET, LPUSH, BRPOP."""
    values: dict[bytes, bytes] = {}
    orders: asyncio.Queue[bytes] = asyncio.Queue()

    def bulk(data: bytes | None) -> bytes:
        return b"$-1\r\n" if data is None else b"$%d\r\n%s\r\n" % (len(data), data)

    async def answer(command: list[bytes]) -> bytes:
        match command:
            case [b"GET", key]:
                return bulk(values.get(key))
            case [b"SET", key, value, *_]:
                values[key] = value
                return b"+OK\r\n"
            case [b"LPUSH", _, value]:
                orders.put_nowait(value)
                return b":1\r\n"
            case [b"BRPOP", key, seconds]:
                try:
                    async with asyncio.timeout(float(seconds)):
                        return b"*2\r\n" + bulk(key) + bulk(await orders.get())
                except TimeoutError:
                    return b"*-1\r\n"
        return b"+OK\r\n"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                command = []
                for _ in range(int(line[1:])):
                    size = int((await reader.readline())[1:])
                    command.append((await reader.readexactly(size + 2))[:-2])
                writer.write(await answer([command[0].upper(), *command[1:]]))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "0.0.0.0", 6379)
    await server.serve_forever()


async def shopper(host: Host) -> None:
    async with httpx.AsyncClient(timeout=2, verify=False) as http:
        for _ in range(4):
            start_s, source = host.clock.now(), None
            try:
                answer = await http.get(f"http://api/products/{host.rng.randrange(20)}")
                if answer.status_code == 200:
                    source = answer.json()["source"]
            except httpx.HTTPError:
                pass
            now_s = host.clock.now()
            host.emit(Call(now_s, source is not None, now_s - start_s, source))
            await host.clock.sleep(host.rng.uniform(0.5, 1.5))


def make(rng: random.Random, mix: str, index: int) -> Client:
    return Client(f"s-{index}", "dc", "fast", Access(down_bps=100e6, up_bps=20e6, rtt_s=0.01))


system = System(
    name="compat-shop",
    topology=Topology(
        ("dc",),
        (
            Node("api-1", "api", "dc", api),
            Node("catalog-1", "catalog", "dc", catalog),
            Node("redis-1", "redis", "dc", redis_node),
            Node("worker-1", "worker", "dc", worker),
        ),
        (),
    ),
    safeguards=(Safeguard("api.fallback", "product pages come without the catalog"),),
    tables={"calls": Call, "done": Done},
    workloads=(Workload("shoppers", "shopper", ("fast",), ("dc",), {"all": "all"}, make, shopper),),
    events={},
)


def with_api(service: object, picture: Path | None = None) -> System:
    """The same system with another service, or configuration, of the api."""
    nodes = tuple(
        replace(node, service=service, config={"picture": picture}) if node.role == "api" else node  # type: ignore[arg-type]
        for node in system.topology.nodes
    )
    return replace(system, topology=replace(system.topology, nodes=nodes))


__all__ = ["Event", "api", "served_api", "system", "with_api"]
