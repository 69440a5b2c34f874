"""A teller takes deposits, and tries again where the store does not answer; a worker writes interest under a lease."""

from __future__ import annotations

import asyncio

import aiohttp
from aiohttp import web

from harness.system import Host

TIMEOUT = aiohttp.ClientTimeout(total=0.5)
TRIES = 4
LOST = (aiohttp.ClientError, TimeoutError)


async def deposit(host: Host, account: str, amount: int, key: str) -> bool:
    """Read, add, write. Whether it was done: False where nobody knows."""
    for _ in range(TRIES):
        try:
            async with host.http("store").get(f"/accounts/{account}", timeout=TIMEOUT) as answer:
                answer.raise_for_status()
                found = await answer.json()
            written = {
                "balance": found["balance"] + amount,
                "version": found["version"],
                "amount": amount,
                "key": key,
            }
            async with host.http("store").put(
                f"/accounts/{account}", json=written, timeout=TIMEOUT
            ) as answer:
                if answer.status == 200:
                    return True
        except LOST:
            pass
        await host.clock.sleep(host.rng.uniform(0.01, 0.05))
    return False


async def teller(host: Host) -> None:
    async def take(request: web.Request) -> web.Response:
        asked = await request.json()
        done = await deposit(host, request.match_info["account"], asked["amount"], asked["key"])
        return web.Response(status=200 if done else 503)

    app = web.Application()
    app.router.add_post("/accounts/{account}", take)
    await host.serve(app)


async def worker(host: Host) -> None:
    """Every second: get the lease, think about it, write the interest."""
    async with asyncio.TaskGroup() as group:
        group.create_task(host.serve(web.Application()))
        while True:
            try:
                async with host.http("store").post(f"/lease/{host.name}", timeout=TIMEOUT) as answer:
                    token = (await answer.json())["token"] if answer.status == 200 else None
                if token is not None:
                    await host.clock.sleep(0.2)
                    document = {"worker": host.name, "token": token}
                    async with host.http("store").post("/interest", json=document, timeout=TIMEOUT):
                        pass
            except LOST:
                pass
            await host.clock.sleep(1.0)
