"""All proxies of a server: create, change, delete, populate, reset.

Names are looked up (the only wait) before anything is changed; every change then happens in one go.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness.toxiproxy.address import Address, AddressError, resolve_listen
from harness.toxiproxy.context import ServerContext
from harness.toxiproxy.decode import fields, items
from harness.toxiproxy.errors import (
    ApiError,
    bad_body,
    internal,
    missing_field,
    proxy_exists,
    proxy_not_found,
    toxic_exists,
)
from harness.toxiproxy.proxy import Proxy
from harness.toxiproxy.toxic import Draft, build, check_name, read_draft

_PROXY = {"name": "string", "listen": "string", "upstream": "string", "enabled": "bool", "accepting": "bool"}
_UPDATE = {**_PROXY, "drain": "bool"}


class PopulateError(ApiError):
    """Populating stopped at an error; `done` are the proxies before it, which stay."""

    def __init__(self, error: ApiError, done: list[Proxy]) -> None:
        super().__init__(error.status, error.message)
        self.done = done


@dataclass(frozen=True)
class ProxySpec:
    name: str
    listen: str
    upstream: str
    enabled: bool
    accepting: bool | None
    toxics: tuple[Draft, ...] = ()


class ProxyCollection:
    def __init__(self, context: ServerContext) -> None:
        self._context = context
        self._proxies: dict[str, Proxy] = {}

    def __len__(self) -> int:
        return len(self._proxies)

    @property
    def all(self) -> list[Proxy]:
        """In the order of their names, as Toxiproxy lists them."""
        return [self._proxies[name] for name in sorted(self._proxies)]

    def find(self, name: str) -> Proxy:
        """Raises ApiError 404."""
        proxy = self._proxies.get(name)
        if proxy is None:
            raise proxy_not_found()
        return proxy

    async def create(self, value: Any) -> Proxy:
        """Raises ApiError: 400 for the body, 409 for the name, 500 when it cannot listen."""
        wanted = _read_proxy(value, "")
        check_name(wanted.name)
        if wanted.name in self._proxies:
            raise proxy_exists()
        where = await _look_up(wanted.listen) if wanted.enabled else None
        if wanted.name in self._proxies:  # created by another request meanwhile
            raise proxy_exists()
        proxy = Proxy(self._context, wanted.name, wanted.listen, wanted.upstream)
        proxy.accepting = wanted.accepting is not False
        if where is not None:
            proxy.start(_listenable(where))
        self._proxies[proxy.name] = proxy
        return proxy

    async def update(self, proxy: Proxy, value: Any) -> None:
        """Change `listen`, `upstream`, `enabled`, `accepting`: what is not mentioned stays. Raises ApiError 400, 500.

        Another `listen` or `upstream` drops every connection. When the new address cannot be listened on the
        proxy stays disabled with it. `drain`, with `enabled` false: connects are refused, what is open goes on.
        """
        given = fields(value, "Proxy", _UPDATE)
        listen = given.get("listen", proxy.listen)
        where = await _look_up(listen)
        if self._proxies.get(proxy.name) is not proxy:  # deleted meanwhile
            raise proxy_not_found()
        upstream = given.get("upstream", proxy.upstream)
        enabled = given.get("enabled", proxy.enabled)
        if not _same_listen(proxy, listen, where) or upstream != proxy.upstream:
            proxy.stop()
            proxy.listen, proxy.upstream = listen, upstream
        proxy.accepting = given.get("accepting", proxy.accepting)
        if enabled and not proxy.enabled:
            proxy.start(_listenable(where))
        elif not enabled:
            proxy.stop(drain=given.get("drain", False))

    def delete(self, proxy: Proxy) -> None:
        del self._proxies[proxy.name]
        proxy.discard()

    async def populate(self, value: Any) -> list[Proxy]:
        """Have these proxies: those that are the same stay untouched, the others are made anew.

        Raises ApiError 400 before anything is done, PopulateError (500) at the first that cannot listen.
        """
        everything = [
            _read_proxy(item, f" at proxy {number}") for number, item in enumerate(items(value, "Proxy"), 1)
        ]
        for wanted in everything:
            check_name(wanted.name)
        where = {wanted.listen: await _look_up(wanted.listen) for wanted in everything}
        done: list[Proxy] = []
        for wanted in everything:
            try:
                done.append(self._put(wanted, where[wanted.listen]))
            except ApiError as error:
                raise PopulateError(error, done) from error
        return done

    async def reset(self) -> None:
        """Enable every proxy and remove all toxics. Raises ApiError 500 at the first that cannot listen."""
        where = {
            proxy.listen: await _look_up(proxy.listen)
            for proxy in list(self._proxies.values())
            if not proxy.enabled
        }
        for proxy in self._proxies.values():
            if not proxy.enabled and proxy.listen in where:
                proxy.start(_listenable(where[proxy.listen]))
            proxy.reset()

    def close(self) -> None:
        """Stop and forget all of them."""
        for proxy in list(self._proxies.values()):
            self.delete(proxy)

    def _put(self, wanted: ProxySpec, where: Address | AddressError) -> Proxy:
        old = self._proxies.get(wanted.name)
        if old is not None and _same_listen(old, wanted.listen, where) and wanted.upstream == old.upstream:
            if wanted.accepting is not None:
                old.accepting = wanted.accepting
            if wanted.toxics:
                old.set_toxics(wanted.toxics)
            return old
        if old is not None:
            old.stop()
        proxy = Proxy(self._context, wanted.name, wanted.listen, wanted.upstream)
        proxy.accepting = wanted.accepting is not False
        if wanted.enabled:
            proxy.start(_listenable(where))
        if old is not None:
            old.discard()
        self._proxies[proxy.name] = proxy
        proxy.set_toxics(wanted.toxics)
        return proxy


def _read_proxy(value: Any, at: str) -> ProxySpec:
    given = fields(value, "Proxy", {**_PROXY, "toxics": "any"} if at else _PROXY)
    for name in ("name", "upstream"):
        if not given.get(name):
            raise missing_field(name + at)
    return ProxySpec(
        given["name"],
        given.get("listen", ""),
        given["upstream"],
        given.get("enabled", True),
        given.get("accepting"),
        _toxics(given.get("toxics"), at),
    )


def _toxics(value: Any, at: str) -> tuple[Draft, ...]:
    """The toxics of a proxy to populate, checked as a whole. None or none at all asks for nothing."""
    drafts = tuple(
        _toxic(item, f"toxic {number}{at}") for number, item in enumerate(items(value, "Toxic"), 1)
    )
    if len({draft.name for draft in drafts}) < len(drafts):
        raise ApiError(toxic_exists().status, f"{toxic_exists().message}: twice the same name{at}")
    return drafts


def _toxic(value: Any, at: str) -> Draft:
    try:
        draft = read_draft(value)
        build(draft, 0)
    except ApiError as error:
        raise bad_body(f"{at}: {error.message.removeprefix('bad request body: ')}") from error
    return draft


async def _look_up(listen: str) -> Address | AddressError:
    """Resolved, or why it cannot be: whether that matters is known only later."""
    try:
        return await resolve_listen(listen)
    except AddressError as error:
        return error


def _checked(where: Address | AddressError) -> Address:
    if isinstance(where, AddressError):
        raise internal(str(where))
    return where


def _same_listen(proxy: Proxy, listen: str, where: Address | AddressError) -> bool:
    """Whether this is where the proxy listens already: as text, or resolved. Raises ApiError 500.

    An any-address is written `[::]:port` once it is listened on: `0.0.0.0:port` is never the same, as in Toxiproxy.
    """
    return _checked(where).text == proxy.listen or listen == proxy.listen


def _listenable(where: Address | AddressError) -> Address:
    if isinstance(where, AddressError):
        raise internal(f"listen tcp: {where}")
    return where
