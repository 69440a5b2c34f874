"""Another Toxiproxy server than the embedded one (`--toxiproxy URL`): looked at before, cleaned up after.

It outlives the harness, so that what we make there has to be undone there: our proxies carry the slot in their names,
and whoever cleans the slot, after a run or after a harness was killed, removes them. Everything else on it is left
alone.
"""

from __future__ import annotations

import ipaddress
import json
import socket
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import quote, urlsplit

ANSWER_S = 5.0
"""How long the server may take for an answer."""


def unfit(url: str) -> str | None:
    """Why live runs cannot use the server at this URL; None when they can. Asks it."""
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
        found = {str(at[4][0]) for at in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except OSError as error:
        return f"{url}: {host} is not known ({error.strerror})"
    if away := sorted(address for address in found if not ipaddress.ip_address(address).is_loopback):
        return f"{url}: live runs stay on this machine's loopback, and {host} is {away[0]}"
    for path, kind in (("/version", "version"), ("/proxies", None)):
        try:
            answer = ask(url, "GET", path)
        except ConnectionRefusedError:
            return f"{url}: nothing listens there; start a server, such as 'harness toxiproxy serve'"
        except (OSError, ValueError) as error:
            return f"{url}: what answers is not a Toxiproxy server: GET {path}: {error}"
        if not isinstance(answer, dict) or (kind is not None and kind not in answer):
            return f"{url}: what answers is not a Toxiproxy server: GET {path} gave {str(answer)[:80]!r}"
    return None


def ask(url: str, method: str, path: str) -> Any:
    """What the server answers, decoded; None for nothing. OSError (`urllib.error.HTTPError` too), ValueError."""
    request = urllib.request.Request(url.rstrip("/") + path, method=method, headers={"User-Agent": "harness"})
    # Proxies of the environment are for the world outside.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=ANSWER_S) as answer:
            body = answer.read()
    except urllib.error.URLError as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()
            raise
        raise error.reason if isinstance(error.reason, OSError) else error from None
    return json.loads(body) if body else None


def ours(url: str, prefix: str) -> list[str]:
    """Names of our proxies on the server; none where no server is any more. OSError, ValueError."""
    try:
        return sorted(name for name in ask(url, "GET", "/proxies") if name.startswith(prefix))
    except ConnectionRefusedError:
        return []


def remove(url: str, prefix: str) -> tuple[list[str], str | None]:
    """Delete our proxies, with their toxics: which, and what has gone wrong."""
    gone: list[str] = []
    try:
        for name in ours(url, prefix):
            ask(url, "DELETE", f"/proxies/{quote(name, safe='')}")
            gone.append(name)
    except (OSError, ValueError) as error:
        return gone, f"proxies named {prefix}... on {url}: {error}"
    return gone, None
