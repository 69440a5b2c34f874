"""`LocustConnection`: what Locust's processes send to the harness, and what it sends to them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from harness.errors import HarnessError
from harness.live.locust import protocol
from harness.runtime.messages import Channel
from harness.text import describe_error

TOTALS_S = 8.0
"""How long the run waits for Locust's totals."""

SILENT_S = 10.0
"""A worker that sent nothing for this long hangs: it sends `Alive` once a second."""

REASON_S = 5.0
"""After the channel is closed: how long it may take until the reason is known."""


class LoadFailed(HarnessError):
    """A process of the load has ended or failed, so that the record of its clients is incomplete."""


@dataclass(slots=True)
class Worker:
    """A process that runs clients. `key`: Locust's name of it."""

    key: str
    name: str
    hello: protocol.Hello
    prepared: protocol.Prepared | None = None
    users_ready: bool = False
    finished: protocol.Finished | None = None
    attempts: Mapping[str, int] = field(default_factory=dict)
    last_message_s: float = 0.0
    """By the loop's time."""


class LocustConnection:
    """`receive` runs for as long as the processes do.

    `name_worker`: the name of a worker in this run, from Locust's name of it and its `Hello`.
    """

    def __init__(
        self, channel: Channel, max_workers: int, name_worker: Callable[[str, protocol.Hello], str]
    ) -> None:
        self._channel = channel
        self._max_workers = max_workers
        self._name_worker = name_worker
        self._changed = asyncio.Event()
        self.port: int | None = None
        """Where Locust's master listens."""
        self.workers: dict[str, Worker] = {}
        self.totals: protocol.Totals | None = None
        self.failure: str | None = None
        """Why the load cannot go on."""
        self.on_message: Callable[[Worker, Any], None] = lambda worker, message: None
        """Called with what a worker reports about its clients."""

    @property
    def finished(self) -> bool:
        """No worker has clients any more, and none will have."""
        return all(worker.finished is not None for worker in self.workers.values())

    def fail(self, reason: str) -> None:
        """The load cannot go on, unless it is complete. The first reason counts."""
        if self.failure is None and self.totals is None:
            self.failure = reason
            self._changed.set()

    def raise_failure(self) -> None:
        if self.failure is not None:
            raise LoadFailed(self.failure)

    # ------------------------------------------------------------------ sending and waiting

    def send(self, worker: str, *messages: object) -> None:
        """To a worker, by Locust's name of it; '' for the master."""
        self._channel.send(protocol.Envelope(worker, protocol.CODEC.encode(*messages).decode()))

    def send_all(self, *messages: object) -> None:
        for key in self.workers:
            self.send(key, *messages)

    async def until(self, limit_s: float, holds: Callable[[], bool]) -> bool:
        """Wait until it holds; False after the time limit. LoadFailed as soon as a process fails before."""
        try:
            async with asyncio.timeout(limit_s):
                while not holds():
                    self.raise_failure()
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True

    async def until_finished(self, limit_s: float) -> bool:
        """Wait until every worker has finished; False after the time limit. LoadFailed as soon as a process fails."""
        now = asyncio.get_running_loop().time
        deadline_s = now() + limit_s
        while not await self.until(min(SILENT_S / 4, max(0.0, deadline_s - now())), lambda: self.finished):
            for worker in self.workers.values():
                if worker.finished is None and now() - worker.last_message_s > SILENT_S:
                    self.fail(f"{worker.name}, a process of the load, sent nothing for {SILENT_S:g} s")
            if now() >= deadline_s:
                return False
        return True

    async def collect_totals(self) -> None:
        """Let Locust end, and wait for its totals."""
        requests = sum(w.finished.requests for w in self.workers.values() if w.finished is not None)
        self.send("", protocol.End(requests))
        with suppress(LoadFailed):
            await self.until(TOTALS_S, lambda: self.totals is not None)

    # ------------------------------------------------------------------ receiving

    async def receive(self) -> None:
        """Handle what arrives, until the channel is closed."""
        key = ""
        try:
            async for envelope in self._channel:
                key = envelope.worker
                for message in protocol.CODEC.decode(envelope.batch):
                    self._on_message(key, message)
        except Exception as error:  # it may come from another machine, and be anything
            self.fail(
                f"a message of a process of the load ({self._name_of(key)}) is not valid: {describe_error(error)}"
            )
        if self.totals is None:
            # Most likely the process at the other end has ended; its exit has the reason.
            await asyncio.sleep(REASON_S)
            self.fail("the connection to the load is closed")

    def _name_of(self, key: str) -> str:
        worker = self.workers.get(key)
        return worker.name if worker is not None else key or "the master"

    def _on_message(self, key: str, message: Any) -> None:
        match message:
            case protocol.Listening(port):
                self.port = port
            case protocol.Totals():
                self.totals = message
            case protocol.Hello():
                self._add_worker(key, message)
            case _ if (worker := self.workers.get(key)) is not None:
                worker.last_message_s = asyncio.get_running_loop().time()
                self._on_worker_message(worker, message)
        self._changed.set()

    def _add_worker(self, key: str, hello: protocol.Hello) -> None:
        if self.totals is not None:
            return  # it has come for the next run
        name = self._name_worker(key, hello)
        if len(self.workers) >= self._max_workers:
            self.fail(f"worker {name} came, but the run needs no more than {self._max_workers}")
            return
        self.workers[key] = Worker(key, name, hello)

    def _on_worker_message(self, worker: Worker, message: Any) -> None:
        match message:
            case protocol.Prepared():
                worker.prepared = message
            case protocol.UsersReady():
                worker.users_ready = True
            case protocol.Broken(error):
                self.fail(f"{worker.name}, a process of the load, cannot go on: {error}")
            case protocol.Lost(reason):
                self.fail(f"{worker.name}, a worker of the load, is lost: {reason}")
            case protocol.Finished():
                worker.finished = message
            case _:
                self.on_message(worker, message)
