"""The harness killed with SIGKILL at random moments of a live run: nothing is left. `HARNESS_KILLS` says how often.

Moments are drawn from every phase of a run in turn: start-up, load, faults in force, recovery, end; of runs through
proxies, in the kernel network where this machine has it, and of whole `harness run`s with Locust. What is left is
looked for twice: by the harness (`run_remains`), and by the test, which does not know the ledger.
"""

from __future__ import annotations

import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.live.cleanup import cleanup, run_remains
from harness.live.run_lock import STATE_VARIABLE, used_runs
from tests.live.support import kernel_lacks

pytestmark = pytest.mark.live

KILLS = int(os.environ.get("HARNESS_KILLS", "2"))
FIRST = int(os.environ.get("HARNESS_KILLS_FIRST", "0"))
"""To go on with a series where another one has ended."""

GONE_S = 5.0
"""Everything is gone by then, files and control groups, too, and nothing else has to run."""

OTHERS_S = 60.0

PHASES = {"start": 3.0, "load": 0.7, "fault": 0.6, "recovery": 0.6, "end": 0.15}
"""In order, and how many seconds of each are drawn from. The first begins with the process."""

LOCUST_S = 14.0
"""About how long the whole run with Locust takes."""

HARNESS = """
import asyncio, sys
from harness.faults.primitives import EndpointMatch, HttpRule, LinkShape, PathMatch
from harness.runtime.contract import RunSettings
from harness.live import cpu
from harness.live.options import LiveOptions
from harness.live.runtime import LiveRuntime
from harness.system import Access, Client
from tests.support.toy_system import shop, system

everything = PathMatch(EndpointMatch(everything=True), EndpointMatch(everything=True))
backends = EndpointMatch(frozenset({"backend-east", "backend-west"}))

def phase(name):
    print(name, flush=True)

async def body(session):
    async def visitor(n):
        async with session.client(Client(f"s{n}", "east", "fast", Access(1e8, 1e8, 0.01)), "shopper") as host:
            await shop(host)
    phase("load")
    visitors = [asyncio.ensure_future(visitor(n)) for n in range(5)]
    await asyncio.sleep(0.7)
    phase("fault")
    do = session.primitives
    applied = [
        await do.shape(everything, LinkShape(latency_s=0.01)),
        await do.interfere("gateway-west", HttpRule(status=503)),
        await do.cut(PathMatch(EndpointMatch(everything=True), backends)),
        await do.pause("gateway-east"),
        await do.power_off("backend-east"),
        await do.kill("backend-west"),
    ]
    if cpu.unavailable_reason() is None:
        applied.append(await do.cpu_limit("gateway-west", 10))
    await asyncio.sleep(0.3)
    phase("recovery")
    for one in reversed(applied):
        await one.undo()
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.2)
    for one in visitors:
        one.cancel()
    await asyncio.wait(visitors)
    phase("end")

LiveRuntime(LiveOptions(sys.argv[1])).run(RunSettings(system, 1, reference="tests.support.toy_system:system"), body)
"""

EXPERIMENT = """
experiment: killed
title: Its harness is killed
system: tests.support.toy_system:system
load:
  shoppers: {arrive: 4/s, for: 8s, mix: fast}
drain: 1s
timeline:
  - {at: 5s, for: 2s, fault: power-off, target: {node: backend-east}}
  - {at: 6s, for: 1s, fault: latency, delay: 100ms, target: {link: {from: gateway, to: backend}}}
gates:
  - {event: gateway.retry, within: 2s, of: fault}
"""


@dataclass(frozen=True)
class Kill:
    """Of which kind of run, in which phase, so long after the phase began."""

    kind: str
    phase: str
    after_s: float


def kills() -> Iterator[Kill]:
    """The series: phases in turn, kinds in turn, moments at random, the same ones every time."""
    kinds = ["proxy", *([] if kernel_lacks() else ["kernel"])]
    rng = random.Random(1)
    pairs = itertools.cycle([(kind, phase) for phase in ("fault", *PHASES) for kind in kinds])
    for number in range(FIRST + KILLS):
        if number % 6 == 5:
            kill = Kill("locust", "any", rng.uniform(0.3, LOCUST_S))
        else:
            kind, phase = next(pairs)
            kill = Kill(kind, phase, rng.uniform(0, PHASES[phase]))
        if number >= FIRST:
            yield kill


def command(kill: Kill, tmp_path: Path) -> list[str]:
    if kill.kind != "locust":
        return [sys.executable, "-c", HARNESS, kill.kind]
    file = tmp_path / "killed.chaos.yaml"
    file.write_text(EXPERIMENT)
    words = [
        "run",
        str(file),
        "--runtime",
        "live",
        "--load",
        "locust",
        "--reports",
        str(tmp_path / "reports"),
    ]
    return [sys.executable, "-m", "harness", *words]


@pytest.mark.timeout(120 + 25 * KILLS)
def test_nothing_is_left_whenever_the_harness_is_killed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "state"
    state.mkdir()
    machine = around()
    took_s: dict[str, list[float]] = defaultdict(list)
    early = 0
    for kill in kills():
        with subprocess.Popen(
            command(kill, tmp_path),
            env={**os.environ, STATE_VARIABLE: str(state)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as harness:
            assert harness.stdout is not None
            if kill.phase in PHASES and kill.phase != "start":
                said = ""
                while said != kill.phase:
                    said = harness.stdout.readline().strip()
                    assert said, harness.stderr and harness.stderr.read()
            time.sleep(kill.after_s)  # noqa: TID251 (the moment of the kill)
            early += harness.poll() is not None
            harness.send_signal(signal.SIGKILL)
            killed_s = time.perf_counter()
            # What is left is left by processes that the kernel kills in their turn, one after the other.
            while (left := still_there(state)) and time.perf_counter() < killed_s + GONE_S:
                time.sleep(0.01)  # noqa: TID251
            took_s[f"{kill.kind}, {kill.phase}"].append(time.perf_counter() - killed_s)
            assert not left, f"{kill}: {left}"
            assert harness.returncode in (None, 0, -signal.SIGKILL, 1, 2), harness.returncode
    # Other tests, beside this one, may have something there for a while.
    deadline_s = time.perf_counter() + OTHERS_S
    while (more := around() - machine) and time.perf_counter() < deadline_s:
        time.sleep(0.2)  # noqa: TID251
    assert not more
    done = cleanup(state)
    assert done.clean
    assert not done.cleaned
    with capsys.disabled():
        for what, times in sorted(took_s.items()):
            print(f"\n{what}: {len(times)} kills, all gone within {max(times):.2f} s", end="")
        print(f"\n{early} of them came after the end of the run")


def still_there(state: Path) -> str:
    """In words."""
    found = [f"process {pid}" for pid in children(state)]
    for run, free in used_runs(state):
        # A lock that is held is another harness's, with another state directory, and so are its listeners.
        left = [item for item in run_remains(state, run) if free or item.kind != "listener"]
        found += [item.description for item in left]
    found += [str(path) for path in (*state.glob("run-*/"), *state.glob("run-*.ledger*"))]
    return "; ".join(found)


def children(state: Path) -> list[int]:
    """Processes, other than zombies, that have inherited the environment of a harness of this test."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if f"{STATE_VARIABLE}={state}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def around() -> set[str]:
    """The machine's own network, which no run may change: interfaces, named namespaces and mounts, rules."""
    found = {f"interface {name}" for name in os.listdir("/sys/class/net")}
    found |= {line for line in Path("/proc/self/mountinfo").read_text().splitlines() if "nsfs" in line}
    if Path("/run/netns").is_dir():
        found |= {f"namespace {name}" for name in os.listdir("/run/netns")}
    for words in (["nft", "list", "ruleset"], ["tc", "qdisc", "show"]):
        if shutil.which(words[0]):
            shown = subprocess.run(words, capture_output=True, check=False, text=True).stdout
            # References come and go with the machine's own traffic.
            found |= {line.partition(" refcnt ")[0] for line in shown.splitlines()}
    return found
