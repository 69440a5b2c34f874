"""`python -m harness.live.kernel.trial`: makes a small kernel network and removes it; prints what works, as JSON.

It runs the code and the rules of a run, step by step, in namespaces that end with the process.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from dataclasses import asdict

from harness.errors import HarnessError
from harness.live.kernel import ruleset
from harness.live.kernel.agent import Agent
from harness.live.kernel.layout import CLIENTS_NAMESPACE, HUB, PROXIES, namespace_plans
from harness.live.kernel.namespaces import enter, own
from harness.live.kernel.probe import Found
from harness.live.kernel.requests import Build, Built, Change, Counted, Limit, Within

CONNECT_S = 5.0
"""Room for retransmissions on a busy machine."""

SILENT_S = 0.15


class TrialFailed(HarnessError):
    """The kernel accepts the rules, but they have no effect."""


class Trial:
    """A small network. The calling thread is in the namespace of R afterwards."""

    def __init__(self) -> None:
        os.unshare(os.CLONE_NEWNET)
        self._router = own()
        self._agent = Agent()
        built = self._agent.answer(Build(namespace_plans({})))
        assert isinstance(built, Built)
        self._paths = built.paths

    def packets(self) -> str:
        """A connect that succeeds, one that is dropped and counted, and one that succeeds again."""
        drop, part = ruleset.Drop(1, 1.0), ruleset.Drop(2, 0.5)
        with self._socket(HUB) as server:
            server.bind((PROXIES, 0))
            server.listen()
            port = server.getsockname()[1]
            if not self._connect(port, CONNECT_S):
                raise TrialFailed("a connect through the router got no answer")
            drops = ruleset.add_drop(drop) + ruleset.add_drop(part)
            enforced = ruleset.drop_ports(drop, ruleset.UP, [port]) + ruleset.enforce_drops([drop, part])
            self._agent.answer(Change(drops + enforced))
            if self._connect(port, SILENT_S):
                raise TrialFailed("a connect succeeded although a rule drops its packets")
            counted = self._agent.answer(Change(ruleset.enforce_drops([]), count=(1,)))
            assert isinstance(counted, Counted)
            if not counted.lost[1].packets or counted.lost[1].connects != 1:
                raise TrialFailed(f"the kernel did not count what it dropped: {counted.lost[1]}")
            if not self._connect(port, CONNECT_S):
                raise TrialFailed("a connect got no answer after the drop was undone")
        return "nft drops all or a random share of a connection's packets, and counts them"

    def queues(self) -> str:
        add = ruleset.queue_ports(0, ruleset.UP, {9: 0x10})
        self._agent.answer(Change(add, limiters=(0,), limits=(Limit(0, 0x10, 1e6),)))
        remove = ruleset.queue_ports(0, ruleset.UP, {9: 0x10}, add=False)
        self._agent.answer(Change(remove, unlimits=((0, 0x10),)))
        return "htb queues with rates, for pairs of hosts and shared"

    def power(self) -> str:
        for text in (ruleset.POWER_OFF, ruleset.POWER_ON):
            self._agent.answer(Within(HUB, text))
        return "nft resets the sockets of a machine without power"

    def _socket(self, namespace: str) -> socket.socket:
        enter(self._paths[namespace])
        sock = socket.socket()
        enter(self._router)
        return sock

    def _connect(self, port: int, within_s: float) -> bool:
        with self._socket(CLIENTS_NAMESPACE) as client:
            client.settimeout(within_s)
            try:
                client.connect((PROXIES, port))
            except TimeoutError:
                return False
            return True


def main() -> int:
    found = []
    step = "namespaces"
    try:
        trial = Trial()
        found.append(
            Found(step, True, "namespaces without names, joined by veth, routed; nft takes the rules")
        )
        for check in (trial.packets, trial.queues, trial.power):
            step = check.__name__
            found.append(Found(step, True, check()))
    except Exception as error:
        # The further steps need this one.
        found.append(Found(step, False, f"{type(error).__name__}: {error}"))
    print(json.dumps([asdict(item) for item in found]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
