"""A bank with two tellers, a store and two workers. Each safeguard that is off is a classic defect:

* `store.compare_and_set`: two tellers read the same balance, and one of their deposits is lost (lost update);
* `store.idempotency`: a deposit whose answer is lost is done again (a retry that charges twice);
* `store.fencing`: a worker that was paused writes with a lease that another one has by now (two holders).
"""

from __future__ import annotations

import random

import aiohttp

from harness.system import (
    Access,
    Client,
    Host,
    Invariant,
    MatchInvariant,
    MatchRows,
    Node,
    Safeguard,
    System,
    Topology,
    Workload,
)
from systems.ledger.records import Accepted, Applied, Interest
from systems.ledger.store import store
from systems.ledger.teller import LOST, TIMEOUT, teller, worker

ACCOUNTS = 3
DEPOSITS = 2


def make(rng: random.Random, mix: str, index: int) -> Client:
    return Client(f"customer-{index}", "town", "all", Access(down_bps=50e6, up_bps=10e6, rtt_s=0.02))


async def customer(host: Host) -> None:
    """A few deposits; each is asked for until it is done, always with the same key."""
    for number in range(DEPOSITS):
        account, key = f"account-{host.rng.randrange(ACCOUNTS)}", f"{host.name}-{number}"
        amount = host.rng.randint(1, 100)
        for _ in range(4):
            try:
                document = {"amount": amount, "key": key}
                async with host.http("teller").post(
                    f"/accounts/{account}",
                    json=document,
                    timeout=aiohttp.ClientTimeout(total=4 * (TIMEOUT.total or 1)),
                ) as answer:
                    if answer.status == 200:
                        host.emit(Accepted(host.clock.now(), key, account, amount))
                        break
            except LOST:
                pass
            await host.clock.sleep(0.2)
        await host.clock.sleep(host.rng.uniform(0.2, 1.0))


system = System(
    name="ledger",
    topology=Topology(
        zones=("town",),
        nodes=(
            Node("teller-1", "teller", "town", teller),
            Node("teller-2", "teller", "town", teller),
            Node("store-1", "store", "town", store),
            Node("worker-1", "worker", "town", worker),
            Node("worker-2", "worker", "town", worker),
        ),
        links=(),
    ),
    safeguards=(
        Safeguard("store.compare_and_set", "an account is changed only if it is as it was read"),
        Safeguard("store.idempotency", "a deposit with a known key is not applied again"),
        Safeguard("store.fencing", "a lease that is not the newest one is refused"),
    ),
    tables={"accepted": Accepted, "applied": Applied, "interest": Interest},
    workloads=(Workload("customers", "customer", ("all",), ("town",), {"all": "all alike"}, make, customer),),
    invariants=(
        MatchInvariant(
            "deposits-done-once",
            every=MatchRows("accepted", "key"),
            found_in=MatchRows("applied", "key"),
            within_s=10.0,
            protects="every deposit that a customer was told of is done exactly once",
        ),
        Invariant(
            "no-update-lost",
            "applied",
            violated="balance <> expected",
            protects="a balance is the sum of the deposits",
        ),
        Invariant(
            "one-holder",
            "interest",
            violated="token < newest",
            protects="nobody writes with a lease that another worker has by now",
        ),
    ),
)
