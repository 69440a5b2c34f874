"""Primitives that only write down what was asked of them, for tests of faults and of the engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.faults.exposure import Exposure
from harness.faults.primitives import (
    Applied,
    ClockRule,
    DiskRule,
    FaultFailed,
    HttpRule,
    LinkShape,
    NameRule,
    PathMatch,
)


@dataclass
class FakeApplied:
    what: tuple[object, ...]
    log: list[tuple[object, ...]]
    touched: Exposure
    fails: bool = False
    undone: bool = False

    async def undo(self) -> None:
        if self.undone:
            return
        self.undone = True
        self.log.append(("undo", *self.what))
        if self.fails:
            raise FaultFailed(f"cannot undo {self.what}")

    def exposure(self) -> Exposure:
        return self.touched


@dataclass
class FakePrimitives:
    """`log` holds every call. `refuse` says which calls fail; `stuck` which of them cannot be undone."""

    touched: Exposure = Exposure(connections=1, bytes=10)  # noqa: RUF009 - immutable
    refuse: Callable[[tuple[object, ...]], bool] = lambda what: False
    stuck: Callable[[tuple[object, ...]], bool] = lambda what: False
    log: list[tuple[object, ...]] = field(default_factory=list)
    applied: list[FakeApplied] = field(default_factory=list)

    def _do(self, *what: object) -> Applied:
        if self.refuse(what):
            raise FaultFailed(f"cannot do {what}")
        self.log.append(what)
        done = FakeApplied(what, self.log, self.touched, self.stuck(what))
        self.applied.append(done)
        return done

    @property
    def in_force(self) -> list[tuple[object, ...]]:
        return [one.what for one in self.applied if not one.undone]

    async def shape(self, path: PathMatch, shape: LinkShape) -> Applied:
        return self._do("shape", path, shape)

    async def cut(self, path: PathMatch) -> Applied:
        return self._do("cut", path)

    async def reset(self, path: PathMatch) -> Applied:
        return self._do("reset", path)

    async def kill(self, node: str) -> Applied:
        return self._do("kill", node)

    async def power_off(self, node: str) -> Applied:
        return self._do("power_off", node)

    async def start(self, node: str) -> None:
        self.log.append(("start", node))

    async def pause(self, node: str) -> Applied:
        return self._do("pause", node)

    async def interfere(self, node: str, rule: HttpRule) -> Applied:
        return self._do("interfere", node, rule)

    async def cpu_limit(self, node: str, factor: float) -> Applied:
        return self._do("cpu_limit", node, factor)

    async def skew(self, node: str, rule: ClockRule) -> Applied:
        return self._do("skew", node, rule)

    async def disk(self, node: str, rule: DiskRule) -> Applied:
        return self._do("disk", node, rule)

    async def resolve(self, node: str, rule: NameRule) -> Applied:
        return self._do("resolve", node, rule)

    async def deploy(self, node: str, config: Mapping[str, Any]) -> Applied:
        return self._do("deploy", node, dict(config))
