"""TLS over simulated connections: asyncio's own protocol, with real contexts and certificates."""

from __future__ import annotations

import asyncio
import ssl
from asyncio import sslproto
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Tls:
    """What `create_connection` and `create_server` are given for TLS. Time-outs in s; None: asyncio's."""

    context: ssl.SSLContext | None
    server_side: bool
    server_hostname: str | None = None
    handshake_timeout: float | None = None
    shutdown_timeout: float | None = None

    def wrap(
        self, loop: Any, protocol: asyncio.BaseProtocol, waiter: asyncio.Future[None] | None = None
    ) -> sslproto.SSLProtocol:
        """The protocol for the connection. `waiter`: done with the handshake."""
        make: Any = sslproto.SSLProtocol  # the stubs know fewer types than it takes
        wrapped: sslproto.SSLProtocol = make(
            loop,
            protocol,
            self.context,
            waiter,
            self.server_side,
            self.server_hostname,
            ssl_handshake_timeout=self.handshake_timeout,
            ssl_shutdown_timeout=self.shutdown_timeout,
        )
        return wrapped


def make_tls(
    context: object,
    *,
    server_side: bool,
    server_hostname: str | None = None,
    handshake_timeout: float | None = None,
    shutdown_timeout: float | None = None,
) -> Tls | None:
    """None without TLS. Raises ValueError and TypeError for arguments as asyncio does."""
    if not context:
        for name, value in (
            ("server_hostname", server_hostname),
            ("ssl_handshake_timeout", handshake_timeout),
            ("ssl_shutdown_timeout", shutdown_timeout),
        ):
            if value is not None:
                raise ValueError(f"{name} is only meaningful with ssl")
        return None
    if server_side and not isinstance(context, ssl.SSLContext):
        raise TypeError("ssl argument must be an SSLContext or None")
    checked = context if isinstance(context, ssl.SSLContext) else None
    return Tls(checked, server_side, server_hostname, handshake_timeout, shutdown_timeout)
