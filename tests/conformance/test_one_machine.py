"""Names, addresses, TLS and Unix sockets within one machine: the same on the simulated network as on a real kernel."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from harness.faults.primitives import HostIdentity
from harness.sim.boundary import closed_boundary
from tests.conformance.certificate import client_context, server_context
from tests.sim.small_network import SmallNetwork

type Main = Callable[[], Awaitable[None]]
type World = Callable[[Main], None]


def _real(main: Main) -> None:
    async def limited() -> None:
        async with asyncio.timeout(10):
            await main()

    asyncio.run(limited())


def _simulated(main: Main) -> None:
    net = SmallNetwork()
    machine = net.network.add_machine(HostIdentity("server", "server", "here"))

    async def run() -> None:
        await main()

    async def harness() -> None:
        await machine.start(run)

    with closed_boundary(net.loop):
        net.loop.run(harness())


@pytest.fixture(params=[_real, _simulated], ids=["kernel", "simulated"])
def world(request: pytest.FixtureRequest) -> World:
    server_context()  # made once, by a program that cannot be started in virtual time
    run: World = request.param
    return run


async def _upper(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data.upper())
        await writer.drain()
    writer.close()


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, text: bytes = b"hello") -> bytes:
    writer.write(text)
    answer = await reader.readexactly(len(text))
    writer.close()
    return answer


def _port(server: asyncio.Server) -> int:
    number: int = server.sockets[0].getsockname()[1]
    return number


def test_tls(world: World) -> None:
    async def main() -> None:
        async with await asyncio.start_server(_upper, "127.0.0.1", 0, ssl=server_context()) as server:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", _port(server), ssl=client_context(), server_hostname="server"
            )
            assert writer.get_extra_info("cipher") is not None
            big = b"x" * 1_000_000
            assert await _ask(reader, writer, big) == big.upper()
            await writer.wait_closed()

    world(main)


def test_a_certificate_for_another_name_is_not_accepted(world: World) -> None:
    async def main() -> None:
        async with await asyncio.start_server(_upper, "127.0.0.1", 0, ssl=server_context()) as server:
            with pytest.raises(ssl.SSLCertVerificationError):
                await asyncio.open_connection(
                    "127.0.0.1", _port(server), ssl=client_context(), server_hostname="other"
                )

    world(main)


def test_a_server_without_tls_ends_the_handshake(world: World) -> None:
    async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.close()

    async def main() -> None:
        async with await asyncio.start_server(close, "127.0.0.1", 0) as server:
            with pytest.raises(ConnectionError):
                await asyncio.open_connection(
                    "127.0.0.1", _port(server), ssl=client_context(), server_hostname="server"
                )

    world(main)


def test_start_tls(world: World) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readline() == b"STARTTLS\n"
        writer.write(b"ok\n")
        await writer.start_tls(server_context())
        await _upper(reader, writer)

    async def main() -> None:
        async with await asyncio.start_server(handler, "127.0.0.1", 0) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", _port(server))
            writer.write(b"STARTTLS\n")
            assert await reader.readline() == b"ok\n"
            await writer.start_tls(client_context(), server_hostname="server")
            assert await _ask(reader, writer) == b"HELLO"

    world(main)


def test_unix_sockets(world: World, tmp_path: Path) -> None:
    path = str(tmp_path / "s.sock")

    async def main() -> None:
        with pytest.raises(FileNotFoundError):
            await asyncio.open_unix_connection(path)
        async with await asyncio.start_unix_server(_upper, path) as server:
            reader, writer = await asyncio.open_unix_connection(path)
            assert server.sockets[0].family == socket.AF_UNIX
            assert writer.get_extra_info("peername") == path
            assert writer.get_extra_info("sockname") == ""
            assert await _ask(reader, writer) == b"HELLO"

    world(main)


def test_ipv6(world: World) -> None:
    async def main() -> None:
        async with await asyncio.start_server(_upper, "::1", 0) as server:
            reader, writer = await asyncio.open_connection("::1", _port(server))
            assert writer.get_extra_info("peername") == ("::1", _port(server), 0, 0)
            assert writer.get_extra_info("sockname")[0] == "::1"
            assert await _ask(reader, writer) == b"HELLO"
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", _port(server))

    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            pytest.skip("this machine has no IPv6")
    world(main)


def test_addresses_of_a_connection(world: World) -> None:
    async def main() -> None:
        async with await asyncio.start_server(_upper, "127.0.0.1", 0) as server:
            reader, writer = await asyncio.open_connection(
                "localhost", _port(server), family=socket.AF_INET, local_addr=("127.0.0.1", 0)
            )
            assert writer.get_extra_info("peername") == ("127.0.0.1", _port(server))
            assert writer.get_extra_info("sockname")[0] == "127.0.0.1"
            assert await _ask(reader, writer) == b"HELLO"

    world(main)


def test_what_cannot_be_bound(world: World) -> None:
    async def main() -> None:
        with pytest.raises(OSError, match=r"192\.0\.2\.1"):
            await asyncio.start_server(_upper, "192.0.2.1", 0)
        async with await asyncio.start_server(_upper, "127.0.0.1", 0) as server:
            with pytest.raises(OSError, match="in use") as caught:
                await asyncio.start_server(_upper, "127.0.0.1", _port(server))
            assert caught.value.errno == errno.EADDRINUSE
            with pytest.raises(OSError, match=r"192\.0\.2\.1"):
                await asyncio.open_connection("127.0.0.1", _port(server), local_addr=("192.0.2.1", 0))

    world(main)


def test_every_address(world: World) -> None:
    async def main() -> None:
        async with await asyncio.start_server(_upper, "0.0.0.0", 0) as server:
            assert server.sockets[0].getsockname()[0] == "0.0.0.0"
            assert await _ask(*await asyncio.open_connection("127.0.0.1", _port(server))) == b"HELLO"
            assert await _ask(*await asyncio.open_connection("0.0.0.0", _port(server))) == b"HELLO"

    world(main)


def test_wrong_arguments(world: World) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with pytest.raises(TypeError):
            await loop.create_connection(asyncio.Protocol, "127.0.0.1", 1, colour="red")  # type: ignore[call-overload]
        with pytest.raises(TypeError):
            await loop.create_server(asyncio.Protocol, "127.0.0.1", 0, colour="red")  # type: ignore[call-overload]
        with pytest.raises(ValueError, match="server_hostname"):
            await loop.create_connection(asyncio.Protocol, "127.0.0.1", 1, server_hostname="a")
        with pytest.raises(socket.gaierror):
            await loop.getaddrinfo("127.0.0.1", 80, family=socket.AF_INET6)
        assert await loop.getaddrinfo("127.0.0.1", "http", type=socket.SOCK_STREAM) == [
            (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", 80))
        ]
        assert len(await loop.getaddrinfo("127.0.0.1", 80)) == 3
        async with await asyncio.start_server(_upper, "127.0.0.1", 0) as server:
            _, writer = await asyncio.open_connection("127.0.0.1", _port(server))
            with pytest.raises(TypeError):
                writer.transport.write(5)  # type: ignore[arg-type]
            writer.close()

    world(main)


def test_task_factories(world: World) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        made: list[str] = []

        def factory(loop: asyncio.AbstractEventLoop, coro: object, **kwargs: object) -> asyncio.Task[None]:
            made.append("task")
            return asyncio.Task(coro, loop=loop, **kwargs)  # type: ignore[arg-type]

        loop.set_task_factory(factory)  # type: ignore[arg-type]
        await asyncio.create_task(asyncio.sleep(0))
        assert made == ["task"]
        loop.set_task_factory(asyncio.eager_task_factory)
        ran: list[int] = []

        async def eager() -> int:
            ran.append(1)
            return 3

        task = asyncio.create_task(eager())
        assert ran == [1]
        assert task.done()
        assert await task == 3
        loop.set_task_factory(None)

    world(main)


class _Datagrams(asyncio.DatagramProtocol):
    """Answers what it gets in capitals if it `echoes`; keeps what it gets."""

    def __init__(self, *, echoes: bool = False) -> None:
        self.echoes = echoes
        self.got: asyncio.Queue[tuple[bytes, tuple[str, int]]] = asyncio.Queue()
        self.errors: asyncio.Queue[Exception] = asyncio.Queue()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.got.put_nowait((data, addr))
        if self.echoes:
            assert isinstance(self.transport, asyncio.DatagramTransport)
            self.transport.sendto(data.upper(), addr)

    def error_received(self, exc: Exception) -> None:
        self.errors.put_nowait(exc)


def test_datagrams(world: World) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        server, echo = await loop.create_datagram_endpoint(lambda: _Datagrams(echoes=True), ("127.0.0.1", 0))
        at = server.get_extra_info("sockname")
        client, protocol = await loop.create_datagram_endpoint(_Datagrams, remote_addr=at)
        client.sendto(b"hello")
        assert await protocol.got.get() == (b"HELLO", at)
        assert await echo.got.get() == (b"hello", client.get_extra_info("sockname"))
        assert client.get_extra_info("peername") == at
        with pytest.raises(ValueError, match="Invalid address"):
            client.sendto(b"x", ("127.0.0.1", 1))
        with pytest.raises(TypeError):
            client.sendto(5)  # type: ignore[arg-type]
        client.sendto(bytes(70_000))
        error = await protocol.errors.get()
        assert isinstance(error, OSError)
        assert error.errno == errno.EMSGSIZE
        with pytest.raises(OSError, match="in use"):
            await loop.create_datagram_endpoint(_Datagrams, at)
        server.close()
        await asyncio.sleep(0.01)
        client.sendto(b"nobody")
        assert isinstance(await protocol.errors.get(), ConnectionRefusedError)
        client.close()

    world(main)


def test_a_server_on_a_socket_that_is_bound_already(world: World) -> None:
    async def main() -> None:
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            port = bound.getsockname()[1]
            async with await asyncio.start_server(_upper, sock=bound) as server:
                assert _port(server) == port
                assert await _ask(*await asyncio.open_connection("127.0.0.1", port)) == b"HELLO"

    world(main)


def test_sockets_of_ones_own(world: World) -> None:
    async def serve(listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        accepted, _ = await loop.sock_accept(listener)
        with accepted:
            while data := await loop.sock_recv(accepted, 3):
                await loop.sock_sendall(accepted, data.upper())

    async def main() -> None:
        loop = asyncio.get_running_loop()
        with socket.socket() as listener, socket.socket() as client:
            for each in (listener, client):
                each.setblocking(False)
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            server = asyncio.create_task(serve(listener))
            await loop.sock_connect(client, listener.getsockname())
            assert client.getpeername() == listener.getsockname()
            await loop.sock_sendall(client, b"hello")
            answer, buffer = b"", bytearray(10)
            while len(answer) < 5:
                count = await loop.sock_recv_into(client, buffer)
                answer += buffer[:count]
            assert answer == b"HELLO"
            client.close()
            await server

    world(main)


def test_datagram_sockets_of_ones_own(world: World) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with socket.socket(type=socket.SOCK_DGRAM) as one, socket.socket(type=socket.SOCK_DGRAM) as two:
            for each in (one, two):
                each.setblocking(False)
            one.bind(("127.0.0.1", 0))
            assert await loop.sock_sendto(two, b"hello", one.getsockname()) == 5
            data, address = await loop.sock_recvfrom(one, 100)
            assert (data, address[0]) == (b"hello", "127.0.0.1")
            await loop.sock_sendto(one, b"back", address)
            assert (await loop.sock_recvfrom(two, 100))[0] == b"back"

    world(main)
