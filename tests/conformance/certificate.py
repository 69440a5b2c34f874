"""A certificate for tests of TLS, made by the `openssl` command."""

from __future__ import annotations

import ssl
import subprocess
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

NAMES = ("server", "localhost", "secure")


@cache
def _files() -> tuple[Path, Path]:
    """The certificate and its key. RSA, as the size of its signatures never varies."""
    directory = Path(mkdtemp(prefix="harness-tls-"))
    certificate, key = directory / "certificate.pem", directory / "key.pem"
    names = ",".join(f"DNS:{name}" for name in NAMES) + ",IP:127.0.0.1"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=server",
    ]
    subprocess.run(
        [*command, "-addext", f"subjectAltName={names}", "-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
    )
    return certificate, key


def server_context() -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*_files())
    return context


def client_context() -> ssl.SSLContext:
    """Trusts that certificate only."""
    return ssl.create_default_context(cafile=_files()[0])
