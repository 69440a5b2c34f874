"""The same socket behaviour on the simulated network as on a real kernel: every test runs in both testbeds."""

from __future__ import annotations

import ast
import asyncio
import errno
from contextlib import suppress

import pytest

from tests.conformance.programs import BIG
from tests.conformance.testbeds import Loopback, Testbed, can_lose_power


class Notes(asyncio.Protocol):
    """Notes what its transport does to it."""

    def __init__(self, *, keeps_open: bool = False) -> None:
        self.calls: list[str] = []
        self.data = bytearray()
        self.error: Exception | None = None
        self.lost = asyncio.get_running_loop().create_future()
        self.changed = asyncio.Event()
        self._keeps_open = keeps_open

    def _note(self, what: str) -> None:
        if not (what == "data" and self.calls[-1:] == ["data"]):
            self.calls.append(what)
        self.changed.set()
        self.changed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._note("made")

    def data_received(self, data: bytes) -> None:
        self.data += data
        self._note("data")

    def eof_received(self) -> bool:
        self._note("eof")
        return self._keeps_open

    def connection_lost(self, exc: Exception | None) -> None:
        self.error = exc
        self._note("lost")
        self.lost.set_result(None)

    def pause_writing(self) -> None:
        self._note("pause")

    def resume_writing(self) -> None:
        self._note("resume")

    async def until(self, what: str) -> None:
        while what not in self.calls:
            await asyncio.wait_for(self.changed.wait(), 5)


async def attach(testbed: Testbed, *, keeps_open: bool = False) -> tuple[asyncio.Transport, Notes]:
    return await asyncio.get_running_loop().create_connection(
        lambda: Notes(keeps_open=keeps_open), testbed.host, testbed.port
    )


# ---------------------------------------------------------------------- connecting


def test_nobody_listens(testbed: Testbed) -> None:
    async def client(testbed: Testbed) -> None:
        with pytest.raises(ConnectionRefusedError):
            await testbed.connect()

    testbed.run(client)


def test_refused_after_a_kill_and_accepted_after_a_restart(testbed: Testbed) -> None:
    async def client(testbed: Testbed) -> None:
        await testbed.start("echo")
        _, writer = await testbed.connect()
        writer.close()
        await testbed.kill()
        with pytest.raises(ConnectionRefusedError):
            await testbed.connect()
        await testbed.start("echo")
        _, writer = await testbed.connect()
        writer.close()

    testbed.run(client)


def test_silence_is_waited_for_and_may_be_cancelled(testbed: Testbed) -> None:
    async def client(testbed: Testbed) -> None:
        loop = asyncio.get_running_loop()
        async with testbed.unanswered() as (host, port):
            start_s = loop.time()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.open_connection(host, port), 0.3)
            assert 0.29 < loop.time() - start_s < 1
            task = asyncio.ensure_future(asyncio.open_connection(host, port))
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    testbed.run(client)


def test_a_cancelled_connection_is_closed(testbed: Testbed) -> None:
    """Cancelled at any point on its way, it leaves nothing open at the server."""

    async def client(testbed: Testbed) -> None:
        await testbed.start("echo")
        for yields in range(6):
            task = asyncio.ensure_future(testbed.connect())
            for _ in range(yields):
                await asyncio.sleep(0)
            task.cancel()
            with suppress(asyncio.CancelledError):
                _, writer = await task
                writer.close()
        reader, writer = await testbed.connect()
        writer.write(b"x")
        assert await reader.read(1) == b"x"
        writer.close()

    testbed.run(client)


def test_addresses(testbed: Testbed) -> None:
    async def client(testbed: Testbed) -> None:
        await testbed.start("tells_peer")
        reader, writer = await testbed.connect()
        seen, own = ast.literal_eval((await reader.read()).decode())
        assert writer.get_extra_info("sockname") == seen
        assert writer.get_extra_info("peername") == own
        assert own[1] == testbed.port
        assert writer.get_extra_info("cipher", "none") == "none"
        writer.close()

    testbed.run(client)


def test_a_port_is_taken_once(testbed: Testbed) -> None:
    async def client(testbed: Testbed) -> None:
        await testbed.start("twice")
        reader, writer = await testbed.connect()
        assert await reader.read() == str(errno.EADDRINUSE).encode()
        writer.close()

    testbed.run(client)


# ---------------------------------------------------------------------- data and its end


@pytest.mark.parametrize("size", [1, 1000, 65537, 3_000_000])
def test_what_was_sent_arrives_in_order(testbed: Testbed, size: int) -> None:
    async def client(testbed: Testbed) -> None:
        await testbed.start("echo")
        reader, writer = await testbed.connect()
        data = (BIG * 3)[:size]

        async def send() -> None:
            for offset in range(0, size, 100_000):
                writer.write(data[offset : offset + 100_000])
                await writer.drain()
            writer.write_eof()

        sending = asyncio.ensure_future(send())
        assert await asyncio.wait_for(reader.read(), 20) == data
        await sending
        writer.close()

    testbed.run(client)


def test_all_data_comes_before_the_end(testbed: Testbed) -> None:
    async def client(testbed: Testbed) -> None:
        await testbed.start("big_then_close")
        _, notes = await attach(testbed)
        await asyncio.wait_for(notes.lost, 10)
        assert bytes(notes.data) == BIG
        assert notes.calls == ["made", "data", "eof", "lost"]
        assert notes.error is None

    testbed.run(client)


def test_the_end_of_one_direction_leaves_the_other_open(testbed: Testbed) -> None:
    async def client(testbed: Testbed) -> None:
        await testbed.start("count_after_eof")
        reader, writer = await testbed.connect()
        assert writer.can_write_eof()
        writer.write(b"x" * 100_000)
        writer.write_eof()
        with pytest.raises(RuntimeError, match=r"write.* after write_eof"):
            writer.write(b"y")
        assert await reader.read() == b"100000"
        writer.close()

    testbed.run(client)


def test_the_other_side_half_closes(testbed: Testbed) -> None:
    async def client(testbed: Testbed) -> None:
        await testbed.start("half_closes")
        transport, notes = await attach(testbed, keeps_open=True)
        await notes.until("eof")
        assert bytes(notes.data) == b"bye"
        await asyncio.sleep(0.05)
        transport.write(b"x" * 5000)
        transport.close()
        await asyncio.wait_for(notes.lost, 5)
        await asyncio.sleep(0.1)
        reader, writer = await testbed.connect()
        assert await reader.read() == b"5000"
        writer.close()

    testbed.run(client)


def test_the_end_closes_unless_kept_open(testbed: Testbed) -> None:
    async def client(testbed: Testbed) -> None:
        await testbed.start("half_closes")
        _, notes = await attach(testbed)
        await asyncio.wait_for(notes.lost, 5)
        assert notes.calls == ["made", "data", "eof", "lost"]
        assert notes.error is None

    testbed.run(client)


def test_closing_sends_what_was_written(testbed: Testbed) -> None:
    async def client(testbed: Testbed) -> None:
        await testbed.start("half_closes")
        transport, notes = await attach(testbed, keeps_open=True)
        await notes.until("eof")
        transport.write(BIG)
        transport.close()
        assert transport.is_closing()
        await asyncio.wait_for(notes.lost, 5)
        await asyncio.sleep(0.2)
        reader, writer = await testbed.connect()
        assert await reader.read() == str(len(BIG)).encode()
        writer.close()

    testbed.run(client)


def test_writing_after_closing_does_nothing(testbed: Testbed) -> None:
    async def client(testbed: Testbed) -> None:
        await testbed.start("echo")
        transport, notes = await attach(testbed)
        transport.close()
        transport.write(b"x")
        transport.close()
        transport.abort()
        await asyncio.wait_for(notes.lost, 5)
        transport.write(b"x")
        transport.close()
        assert notes.calls == ["made", "lost"]
        assert notes.error is None

    testbed.run(client)


def test_nothing_is_received_after_closing(testbed: Testbed) -> None:
    async def client(testbed: Testbed) -> None:
        await testbed.start("endless")
        transport, notes = await attach(testbed)
        await notes.until("data")
        transport.close()
        size = len(notes.data)
        await asyncio.wait_for(notes.lost, 5)
        await asyncio.sleep(0.05)
        assert len(notes.data) == size
        assert notes.error is None

    testbed.run(client)


# ---------------------------------------------------------------------- pressure


def test_a_reader_that_does_not_read_stops_the_writer(testbed: Testbed) -> None:
    async def client(testbed: Testbed) -> None:
        await testbed.start("mute")
        transport, notes = await attach(testbed)
        transport.write(BIG * 16)
        await asyncio.sleep(0.2)
        assert notes.calls == ["made", "pause"]
        held = transport.get_write_buffer_size()
        assert held > 8 * 2**20
        await asyncio.sleep(0.2)
        assert transport.get_write_buffer_size() == held
        transport.abort()
        await asyncio.wait_for(notes.lost, 5)
        assert transport.get_write_buffer_size() == 0

    testbed.run(client)


def test_the_writer_goes_on_when_the_reader_does(testbed: Testbed) -> None:
    async def client(testbed: Testbed) -> None:
        await testbed.start("slow_reader")
        transport, notes = await attach(testbed)
        for _ in range(8):
            transport.write(BIG)
        assert "pause" in notes.calls
        await asyncio.sleep(0.1)
        assert "resume" not in notes.calls
        await notes.until("resume")
        transport.write_eof()
        await asyncio.wait_for(notes.lost, 5)
        assert bytes(notes.data) == str(8 * len(BIG)).encode()

    testbed.run(client)


def test_drain_waits(testbed: Testbed) -> None:
    async def client(testbed: Testbed) -> None:
        loop = asyncio.get_running_loop()
        await testbed.start("slow_reader")
        reader, writer = await testbed.connect()
        start_s = loop.time()
        for _ in range(16):
            writer.write(BIG)
            await writer.drain()
        assert loop.time() - start_s > 0.2
        writer.write_eof()
        assert await reader.read() == str(16 * len(BIG)).encode()
        writer.close()

    testbed.run(client)


def test_reading_can_be_paused(testbed: Testbed) -> None:
    async def client(testbed: Testbed) -> None:
        await testbed.start("big_then_close")
        transport, notes = await attach(testbed)
        transport.pause_reading()
        assert not transport.is_reading()
        size = len(notes.data)
        await asyncio.sleep(0.1)
        assert len(notes.data) == size
        assert "lost" not in notes.calls
        transport.resume_reading()
        assert transport.is_reading()
        await asyncio.wait_for(notes.lost, 5)
        assert bytes(notes.data) == BIG

    testbed.run(client)


# ---------------------------------------------------------------------- breaking


def test_an_abort_of_the_other_side(testbed: Testbed) -> None:
    """Aborting with nothing unread is an ordinary end for the peer, as close is."""

    async def client(testbed: Testbed) -> None:
        await testbed.start("aborts")
        transport, notes = await attach(testbed)
        await notes.until("data")
        transport.write(b"x")
        await asyncio.wait_for(notes.lost, 5)
        assert bytes(notes.data) == b"hello"
        assert notes.calls == ["made", "data", "eof", "lost"]
        assert notes.error is None

    testbed.run(client)


def test_closing_without_having_read_resets(testbed: Testbed) -> None:
    async def client(testbed: Testbed) -> None:
        await testbed.start("closes_unread")
        transport, notes = await attach(testbed)
        transport.write(b"x" * 1000)
        await asyncio.wait_for(notes.lost, 5)
        assert notes.calls == ["made", "lost"]
        assert isinstance(notes.error, ConnectionResetError)

    testbed.run(client)


def test_writing_to_who_has_closed(testbed: Testbed) -> None:
    async def client(testbed: Testbed) -> None:
        await testbed.start("closes_read")
        transport, notes = await attach(testbed, keeps_open=True)
        transport.write(b"x")
        await notes.until("eof")
        await asyncio.sleep(0.05)
        transport.write(b"y" * 1000)
        await asyncio.sleep(0.05)
        transport.write(b"z")
        await asyncio.wait_for(notes.lost, 5)
        assert notes.calls == ["made", "eof", "lost"]
        assert isinstance(notes.error, ConnectionError)

    testbed.run(client)


def test_a_kill_ends_an_idle_connection(testbed: Testbed) -> None:
    async def client(testbed: Testbed) -> None:
        await testbed.start("echo")
        transport, notes = await attach(testbed)
        transport.write(b"x")
        await notes.until("data")
        await testbed.kill()
        await asyncio.wait_for(notes.lost, 5)
        assert notes.calls == ["made", "data", "eof", "lost"]
        assert notes.error is None

    testbed.run(client)


def test_a_kill_resets_when_something_was_not_read(testbed: Testbed) -> None:
    async def client(testbed: Testbed) -> None:
        await testbed.start("mute")
        transport, notes = await attach(testbed)
        transport.write(b"x" * 1000)
        await asyncio.sleep(0.1)
        await testbed.kill()
        await asyncio.wait_for(notes.lost, 5)
        assert notes.calls == ["made", "lost"]
        assert isinstance(notes.error, ConnectionResetError)

    testbed.run(client)


def test_a_kill_in_the_middle_of_a_transfer(testbed: Testbed) -> None:
    async def client(testbed: Testbed) -> None:
        await testbed.start("endless")
        _, notes = await attach(testbed)
        await notes.until("data")
        await testbed.kill()
        await asyncio.wait_for(notes.lost, 5)
        assert notes.calls == ["made", "data", "eof", "lost"]
        assert notes.error is None

    testbed.run(client)


def test_a_stale_connection_is_reset_after_a_power_loss(testbed: Testbed) -> None:
    if isinstance(testbed, Loopback) and not can_lose_power():
        pytest.skip("losing power on a real kernel takes the right to repair sockets (CAP_NET_ADMIN)")

    async def client(testbed: Testbed) -> None:
        await testbed.start("echo")
        transport, notes = await attach(testbed)
        transport.write(b"x")
        await notes.until("data")
        await testbed.lose_power_and_restart("echo")
        await asyncio.sleep(0.1)
        assert notes.calls == ["made", "data"]
        transport.write(b"y")
        await asyncio.wait_for(notes.lost, 5)
        assert notes.calls == ["made", "data", "lost"]
        assert isinstance(notes.error, ConnectionResetError)
        reader, writer = await testbed.connect()
        writer.write(b"z")
        assert await reader.read(1) == b"z"
        writer.close()

    testbed.run(client)


# ---------------------------------------------------------------------- a stopped process


def test_a_stopped_process_keeps_its_connections(testbed: Testbed) -> None:
    async def client(testbed: Testbed) -> None:
        await testbed.start("echo")
        old_reader, old_writer = await testbed.connect()
        await testbed.pause()
        await asyncio.sleep(0.05)
        new_reader, new_writer = await testbed.connect()
        for writer in (old_writer, new_writer):
            writer.write(b"hello")
            await writer.drain()
        await asyncio.sleep(0.2)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(old_reader.read(5), 0.1)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(new_reader.read(5), 0.1)
        await testbed.resume()
        assert await asyncio.wait_for(old_reader.read(5), 5) == b"hello"
        assert await asyncio.wait_for(new_reader.read(5), 5) == b"hello"
        for writer in (old_writer, new_writer):
            writer.close()

    testbed.run(client)


def test_closing_a_connection_to_a_stopped_process(testbed: Testbed) -> None:
    async def client(testbed: Testbed) -> None:
        await testbed.start("echo")
        transport, notes = await attach(testbed)
        await testbed.pause()
        await asyncio.sleep(0.05)
        transport.write(b"hello")
        transport.close()
        await asyncio.wait_for(notes.lost, 5)
        assert notes.error is None
        await testbed.resume()

    testbed.run(client)


# ---------------------------------------------------------------------- servers


def test_a_closed_server_goes_on_serving_and_waits_for_the_last(testbed: Testbed) -> None:
    async def client(testbed: Testbed) -> None:
        await testbed.start("one_only")
        reader, writer = await testbed.connect()
        writer.write(b"hello")
        assert await reader.read(5) == b"hello"
        await asyncio.sleep(0.05)
        with pytest.raises(ConnectionRefusedError):
            await testbed.connect()
        writer.write_eof()
        assert await reader.read() == b"last"
        writer.close()
        await asyncio.sleep(0.1)
        reader, writer = await testbed.connect()
        assert await reader.read() == b"ended"
        writer.close()

    testbed.run(client)
