"""Servers for the conformance tests, run by a real process or by a simulated one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection

from aiohttp import web

from harness.sim.loop import SimLoop

type Program = Callable[[int, Callable[[], None]], Awaitable[None]]
type Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

BIG = bytes(range(256)) * 4096
"""One mebibyte."""


def _address() -> str:
    """Real servers listen on loopback only, simulated ones where their clients reach them."""
    return "0.0.0.0" if isinstance(asyncio.get_running_loop(), SimLoop) else "127.0.0.1"


async def _serve(handler: Handler, port: int, ready: Callable[[], None]) -> None:
    server = await asyncio.start_server(handler, _address(), port)
    ready()
    await server.serve_forever()


async def echo(port: int, ready: Callable[[], None]) -> None:
    """Sends back what it gets, until end of file."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    await _serve(handler, port, ready)


def _transport(writer: asyncio.StreamWriter) -> asyncio.Transport:
    """What a stream writes to can be read from, too."""
    assert isinstance(writer.transport, asyncio.Transport)
    return writer.transport


async def mute(port: int, ready: Callable[[], None]) -> None:
    """Accepts, and never reads."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _transport(writer).pause_reading()
        await asyncio.sleep(1000)

    await _serve(handler, port, ready)


async def slow_reader(port: int, ready: Callable[[], None]) -> None:
    """Reads nothing for 0.3 s, then everything; answers with the number of bytes."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _transport(writer).pause_reading()
        await asyncio.sleep(0.3)
        _transport(writer).resume_reading()
        count = 0
        while data := await reader.read(65536):
            count += len(data)
        writer.write(str(count).encode())
        writer.close()

    await _serve(handler, port, ready)


async def big_then_close(port: int, ready: Callable[[], None]) -> None:
    """Sends a mebibyte and closes at once."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(BIG)
        writer.close()

    await _serve(handler, port, ready)


async def endless(port: int, ready: Callable[[], None]) -> None:
    """Sends without end."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(BIG)
            await writer.drain()

    await _serve(handler, port, ready)


async def count_after_eof(port: int, ready: Callable[[], None]) -> None:
    """Answers only after end of file, with the number of bytes it got."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = await reader.read()
        await asyncio.sleep(0.05)
        writer.write(str(len(data)).encode())
        writer.close()

    await _serve(handler, port, ready)


async def half_closes(port: int, ready: Callable[[], None]) -> None:
    """Says `bye`, then end of file; goes on reading, and tells the number of bytes to the next who connects."""
    last: list[bytes] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if last:
            writer.write(last.pop())
            writer.close()
            return
        writer.write(b"bye")
        writer.write_eof()
        data = await reader.read()
        last.append(str(len(data)).encode())
        writer.close()

    await _serve(handler, port, ready)


async def aborts(port: int, ready: Callable[[], None]) -> None:
    """Greets, and aborts as soon as it has read something."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        await reader.read(1)
        writer.transport.abort()

    await _serve(handler, port, ready)


async def closes_unread(port: int, ready: Callable[[], None]) -> None:
    """Closes 0.1 s after it accepted, without having read."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _transport(writer).pause_reading()
        await asyncio.sleep(0.1)
        writer.close()

    await _serve(handler, port, ready)


async def closes_read(port: int, ready: Callable[[], None]) -> None:
    """Reads one byte and closes."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.close()

    await _serve(handler, port, ready)


async def tells_peer(port: int, ready: Callable[[], None]) -> None:
    """Sends the address that it sees, and its own."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        told = (writer.get_extra_info("peername"), writer.get_extra_info("sockname"))
        writer.write(repr(told).encode())
        writer.close()

    await _serve(handler, port, ready)


async def one_only(port: int, ready: Callable[[], None]) -> None:
    """Stops listening with the first connection, which it goes on serving; then waits for it to end."""
    first = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first.set()
        while data := await reader.read(65536):
            writer.write(data)
        writer.write(b"last")
        writer.close()

    server = await asyncio.start_server(handler, _address(), port)
    ready()
    await first.wait()
    server.close()
    await server.wait_closed()
    after = await asyncio.start_server(_says(b"ended"), _address(), port)
    await after.serve_forever()


def _says(what: bytes) -> Handler:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(what)
        writer.close()

    return handler


async def twice(port: int, ready: Callable[[], None]) -> None:
    """Tries to listen on its port a second time, and tells what came of it."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await asyncio.start_server(handler, _address(), port)
        except OSError as error:
            writer.write(str(error.errno).encode())
        writer.close()

    await _serve(handler, port, ready)


async def website(port: int, ready: Callable[[], None]) -> None:
    """An aiohttp server. /count tells how many requests were handled, by path and method."""
    handled: list[str] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        if request.path == "/count":
            return web.json_response(handled)
        handled.append(f"{request.method} {request.path}")
        match request.path:
            case "/hang":
                await asyncio.sleep(1000)
            case "/half":
                response = web.StreamResponse(headers={"Content-Length": str(2 * len(BIG))})
                await response.prepare(request)
                await response.write(BIG)
                await asyncio.sleep(1000)
            case "/slow":
                await asyncio.sleep(0.2)
                handled.append("slow is done")
            case "/upload":
                return web.Response(text=str(len(await request.read())))
            case "/stream":
                response = web.StreamResponse()
                await response.prepare(request)
                for _ in range(3):
                    await response.write(BIG)
                return response
            case "/socket":
                socket = web.WebSocketResponse()
                await socket.prepare(request)
                async for message in socket:
                    await socket.send_str(message.data.upper())
                return socket
        assert request.transport is not None
        return web.Response(text=str(request.transport.get_extra_info("peername")[1]))

    app = web.Application(client_max_size=2**30)
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None, keepalive_timeout=0.3)
    await runner.setup()
    await web.TCPSite(runner, None, port).start()
    ready()
    await asyncio.sleep(10_000)


def serve(name: str, port: int, ready: Connection) -> None:
    """Run a program in this process."""
    program: Program = globals()[name]
    asyncio.run(program(port, lambda: ready.send(True)))  # type: ignore[arg-type]
