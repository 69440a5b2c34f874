"""The kernel's counts of TCP connections."""

from __future__ import annotations

import socket

from harness.live.sock_diag import open_connections


def test_both_ends_of_a_connection_with_their_bytes() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
        with client, server:
            client.sendall(b"x" * 1000)
            assert len(server.recv(1000, socket.MSG_WAITALL)) == 1000
            by_end = {one.local: one for one in open_connections()}
            own, other = by_end[client.getsockname()], by_end[server.getsockname()]
            assert other.received_bytes == 1000
            assert own.received_bytes == other.sent_bytes == 0
            assert own.cookie != other.cookie
