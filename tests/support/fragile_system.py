"""A system whose clients have defects: the second raises, the third reports what nobody declared.

In the mix `stuck`, instead, the first keeps its whole process busy for a while, as a slow machine would.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

from harness.system import Client, Host, Node, System, Topology, Workload
from tests.support.toy_system import ACCESS, Visit, backend


@dataclass(frozen=True, slots=True)
class Secret:
    t_s: float


def visitor(_: random.Random, mix: str, index: int) -> Client:
    return Client(f"visitor-{index}", "east", mix, ACCESS["fast"], {"index": index})


STUCK_S = 1.0


async def visit(host: Host) -> None:
    start_s = host.clock.now()
    if host.group == "stuck":
        if host.config["index"] == 0:
            time.sleep(STUCK_S)  # noqa: TID251, ASYNC251 (that is the defect)
        return
    async with host.http("backend").get("/offers") as answer:
        ok = answer.status == 200
        await answer.read()
    now_s = host.clock.now()
    host.emit(Visit(now_s, host.name, host.zone, host.group or "", ok, now_s - start_s, "backend"))
    if host.config["index"] == 1:
        raise LookupError("no such film")
    if host.config["index"] == 2:
        host.emit(Secret(now_s))


system = System(
    name="fragile",
    topology=Topology(("east",), (Node("backend-east", "backend", "east", backend),), ()),
    safeguards=(),
    tables={"visits": Visit},
    workloads=(
        Workload(
            "visitors",
            "visitor",
            ("all", "stuck"),
            ("east",),
            {"all": "all", "stuck": "stuck"},
            visitor,
            visit,
        ),
    ),
)
