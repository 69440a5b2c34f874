"""What the proxy benchmark runs beside itself, one process each: upstreams, and a proxy of asyncio streams.

`python -m tests.benchmarks.proxy_programs upstream | service | streams PORT` prints the port that it listens on.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import sys

BODY = b"x" * 1024
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1024\r\n\r\n" + BODY
REQUEST = b"GET / HTTP/1.1\r\nHost: upstream\r\n\r\n"
BULK = b"GET /bulk HTTP/1.1\r\nHost: upstream\r\n\r\n"
BULK_BYTES = 256 << 20

_PIECE = bytes(1 << 20)


def upstream() -> None:
    """Answers a request with 1 KB, and `/bulk` with BULK_BYTES and the end."""
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listener, select.epoll() as poll:
        print(listener.getsockname()[1], flush=True)
        poll.register(listener, select.EPOLLIN)
        clients: dict[int, socket.socket] = {}
        while True:
            for fd, _ in poll.poll():
                if fd == listener.fileno():
                    client, _ = listener.accept()
                    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    clients[client.fileno()] = client
                    poll.register(client, select.EPOLLIN)
                elif not _answered(clients[fd]):
                    poll.unregister(fd)
                    clients.pop(fd).close()


def _answered(client: socket.socket) -> bool:
    with contextlib.suppress(ConnectionError):
        match client.recv(4096):
            case b"":
                return False
            case asked if asked == BULK:
                for _ in range(BULK_BYTES // len(_PIECE)):
                    client.sendall(_PIECE)
                return False
            case _:
                client.sendall(ANSWER)
                return True
    return False


async def service() -> None:
    """What services are made of: aiohttp, answering with 1 KB."""
    from aiohttp import web

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=BODY)

    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


async def streams(port: int) -> None:
    """The proxy that one writes with asyncio streams: two copying tasks a connection."""

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(copy(reader, back), copy(there, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=256)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["upstream"]:
            upstream()
        case ["service"]:
            asyncio.run(service())
        case ["streams", port]:
            asyncio.run(streams(int(port)))
