"""An external Toxiproxy server (`--toxiproxy URL`), synchronously: checked before a run, cleaned up after it.

It outlives the harness, so what a run makes there has to be undone there. Our proxies carry the number of the run in
their names; everything else on the server is left alone.

Proxies are removed with toxiproxy-python. That client keeps host and port for the
whole process, has no time limit, and accepts whatever answers, so it runs in a process of its own, and this module
asks with urllib whether the server fits and what is on it. While a run goes on, hundreds of requests are in flight
and their errors are told apart: `harness.live.toxiproxy` and `harness.live.vanilla_toxiproxy` use aiohttp.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

ANSWER_S = 5.0
"""How long the server may take for an answer."""


def server_problem(url: str) -> str | None:
    """Why live runs cannot use the server at this URL; None when they can. Asks the server."""
    parts = urlsplit(url)
    try:
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        return f"{url}: {error}"
    if (
        parts.scheme != "http"
        or not host
        or parts.path.strip("/")
        or parts.query
        or parts.fragment
        or "@" in url
    ):
        return f"{url}: give http://HOST:PORT, such as http://127.0.0.1:8474"
    try:
        addresses = {str(found[4][0]) for found in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except OSError as error:
        return f"{url}: host {host} is unknown ({error.strerror})"
    if remote := sorted(one for one in addresses if not ipaddress.ip_address(one).is_loopback):
        return f"{url}: live runs stay on the loopback addresses of this machine; {host} is {remote[0]}"
    for path, key in (("/version", "version"), ("/proxies", None)):
        try:
            answer = _get(url, path)
        except ConnectionRefusedError:
            return f"{url}: nothing listens there; start a server, such as 'harness toxiproxy serve'"
        except (OSError, ValueError) as error:
            return f"{url}: not a Toxiproxy server: GET {path}: {error}"
        if not isinstance(answer, dict) or (key is not None and key not in answer):
            return f"{url}: not a Toxiproxy server: GET {path} gave {str(answer)[:80]!r}"
    return None


def proxies_named(url: str, prefix: str) -> list[str]:
    """Names of the proxies that begin with `prefix`; none where no server is any more. OSError, ValueError."""
    try:
        return sorted(name for name in _get(url, "/proxies") if name.startswith(prefix))
    except ConnectionRefusedError:
        return []


def remove_proxies(url: str, prefix: str) -> Iterator[str]:
    """Delete the proxies whose names begin with `prefix`; yields each name. OSError, ValueError."""
    if not proxies_named(url, prefix):
        return
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    done = subprocess.run(
        [
            *(sys.executable, "-m", "harness.live.external_proxies"),
            *(str(host), str(parts.port or 80), prefix, str(ANSWER_S)),
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        # HTTP proxies of the environment are for other hosts.
        env={**os.environ, "no_proxy": "*"},
        text=True,
        check=False,
    )
    yield from done.stdout.splitlines()
    if done.returncode == -signal.SIGALRM:
        raise TimeoutError(f"no answer within {ANSWER_S:g} s")
    if done.returncode:
        raise OSError(done.stderr.strip().rpartition("\n")[2])


def _get(url: str, path: str) -> Any:
    """The decoded answer. OSError (`urllib.error.HTTPError` too), ValueError."""
    request = urllib.request.Request(url.rstrip("/") + path, headers={"User-Agent": "harness"})
    # HTTP proxies of the environment are for other hosts.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=ANSWER_S) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        error.close()
        raise
    except urllib.error.URLError as error:
        raise error.reason if isinstance(error.reason, OSError) else error from None


def main(host: str, port: str, prefix: str, limit_s: float) -> None:
    """Delete the proxies by toxiproxy-python, and print their names. SIGALRM ends this process when an answer takes
    longer than `limit_s`."""
    from toxiproxy import Toxiproxy
    from toxiproxy.exceptions import NotFound

    server = Toxiproxy()
    server.update_api_consumer(host, port)
    signal.setitimer(signal.ITIMER_REAL, limit_s)
    for name, proxy in sorted(server.proxies().items()):
        if name.startswith(prefix):
            signal.setitimer(signal.ITIMER_REAL, limit_s)
            with contextlib.suppress(NotFound):
                if not proxy.destroy():
                    sys.exit(f"the server does not delete {name}")
            print(name, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4]))
