"""What live runs can do on this machine, for each network."""

from __future__ import annotations

from collections.abc import Mapping

from harness.faults.primitives import Capability
from harness.live import cpu
from harness.runtime.options import Capabilities, Lack

PROXIES: Mapping[Capability, str] = {
    Capability.SHAPE: "proxy toxics: latency, jitter, bandwidth by pair of hosts",
    Capability.SHARED_RATE: "proxy toxics that share one limit",
    Capability.CUT: "proxies hold everything back; connects get no answer",
    Capability.RESET: "proxies send RST to both ends",
    Capability.KILL: "SIGKILL; proxies refuse connects",
    Capability.POWER_OFF: "SIGKILL behind proxies that hold everything back; connects get no answer",
    Capability.START: "a new process, forked from one that has everything imported",
    Capability.PAUSE: "SIGSTOP",
    Capability.HTTP: "a middleware in the node's own process",
    Capability.CPU_LIMIT: "a control group with a quota of processor time",
}
"""How each is provided with proxies."""

KERNEL: Mapping[Capability, str] = {
    **PROXIES,
    Capability.SHAPE: "latency and jitter by proxy toxics; bandwidth by pair of hosts by htb",
    Capability.SHAPE_LOSS: "nft drops packets",
    Capability.SHARED_RATE: "one htb class for all matching traffic",
    Capability.CUT: "nft drops: connects hang, what is open retransmits",
    Capability.POWER_OFF: "SIGKILL behind nft drops on all links: connects hang; stale connections get RST afterwards",
}
"""How each is provided with the kernel network."""

NO_LOSS = Lack("a proxy cannot drop packets of a TCP stream", "use --network kernel (root) or --runtime sim")
NO_SHARED_RATE = Lack(
    "Toxiproxy limits each connection, not all of them together",
    "leave out --toxiproxy, or use --network kernel (root) or --runtime sim",
)


def capabilities(*, kernel: bool, external: bool) -> Capabilities:
    """`kernel`: with the kernel network. `external`: the proxies are on a Toxiproxy server that is not ours."""
    lacks: dict[Capability, Lack] = {}
    if not kernel:
        lacks[Capability.SHAPE_LOSS] = NO_LOSS
    if external and not kernel:
        lacks[Capability.SHARED_RATE] = NO_SHARED_RATE
    if (reason := cpu.unavailable_reason()) is not None:
        lacks[Capability.CPU_LIMIT] = Lack(reason, "see: harness doctor")
    provided = KERNEL if kernel else PROXIES
    return Capabilities({one: how for one, how in provided.items() if one not in lacks}, lacks)
