"""The store: accounts that outlive a restart, deposits that are done once, and a lease for the workers."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from aiohttp import web

from harness.system import Host
from systems.ledger.records import Applied, Interest

LEASE_S = 2.0


@dataclass(slots=True)
class Account:
    balance: int = 0
    version: int = 0
    expected: int = 0
    """The sum of all deposits that were applied: what the balance would be if no update were lost."""
    keys: list[str] = field(default_factory=list)
    """The deposits that were applied."""


@dataclass(slots=True)
class Lease:
    holder: str = ""
    token: int = 0
    until_s: float = 0.0


class Store:
    def __init__(self, host: Host) -> None:
        self._host = host
        self._lease = Lease()

    async def read(self, request: web.Request) -> web.Response:
        account = await self._load(request.match_info["account"])
        return web.json_response({"balance": account.balance, "version": account.version})

    async def write(self, request: web.Request) -> web.Response:
        """Set a balance that was read before: 409 where the account has changed meanwhile."""
        host, name, asked = self._host, request.match_info["account"], await request.json()
        account = await self._load(name)
        if host.safeguard("store.idempotency") and asked["key"] in account.keys:
            return web.json_response({"version": account.version})
        if host.safeguard("store.compare_and_set") and asked["version"] != account.version:
            return web.Response(status=409)
        account.balance, account.version = asked["balance"], account.version + 1
        account.expected += asked["amount"]
        account.keys.append(asked["key"])
        await host.disk.write(name, json.dumps(asdict(account)).encode())
        host.emit(Applied(host.clock.now(), asked["key"], name, account.balance, account.expected))
        return web.json_response({"version": account.version})

    async def lease(self, request: web.Request) -> web.Response:
        """Give the lease to the worker that asks, or renew it: 409 while another one has it."""
        worker, now_s, lease = request.match_info["worker"], self._host.clock.now(), self._lease
        if lease.holder != worker and now_s < lease.until_s:
            return web.Response(status=409)
        if lease.holder != worker or now_s >= lease.until_s:
            lease.token += 1
        lease.holder, lease.until_s = worker, now_s + LEASE_S
        return web.json_response({"token": lease.token})

    async def interest(self, request: web.Request) -> web.Response:
        """What the holder of the lease writes. An old token is refused: its holder has lost the lease."""
        asked: dict[str, Any] = await request.json()
        if self._host.safeguard("store.fencing") and asked["token"] < self._lease.token:
            return web.Response(status=409)
        now_s = self._host.clock.now()
        self._host.emit(Interest(now_s, asked["worker"], asked["token"], self._lease.token))
        return web.Response()

    async def start(self) -> None:
        """Tokens begin with the time, so that a store that is started again gives none twice."""
        self._lease.token = int(self._host.clock.now() * 1000)

    async def _load(self, name: str) -> Account:
        data = await self._host.disk.read(name)
        return Account(**json.loads(data)) if data else Account()


async def store(host: Host) -> None:
    kept = Store(host)
    await kept.start()
    app = web.Application()
    app.router.add_get("/accounts/{account}", kept.read)
    app.router.add_put("/accounts/{account}", kept.write)
    app.router.add_post("/lease/{worker}", kept.lease)
    app.router.add_post("/interest", kept.interest)
    await host.serve(app)
