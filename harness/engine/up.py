"""A system brought up live for a person, with faults that are put on and taken off from another terminal."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.diagnostics import Diagnostic
from harness.engine.interrupt import cancelled_by_signals
from harness.engine.plan import unknown_safeguards
from harness.engine.targets import TargetError, resolve
from harness.errors import ExperimentError, UsageError
from harness.experiment.model import Load
from harness.experiment.parse import parse_fault as parse_one
from harness.experiment.source import read_source
from harness.faults.base import Fault
from harness.faults.catalogue import FAULTS
from harness.faults.parameters import parameters
from harness.faults.primitives import Applied, FaultFailed
from harness.live.options import LiveOptions
from harness.live.run_lock import own_directory, state_directory
from harness.live.runtime import LiveRuntime, LiveSession
from harness.runtime.contract import RunSettings, Session
from harness.sli.formatting import exposure, quantity
from harness.system import System
from harness.workload.drive import Driver

CONTROL = "control"
"""The socket in a run's directory that takes requests: one line of JSON, answered with one."""

DAY_S = 86_400.0
DAY = "24h"
"""How long a fault lasts, at most, when the person who puts it on does not say `for`."""

ANSWER_S = 60.0

WATCH_EVERY_S = 0.5
"""How often the person in the first terminal is told what has failed."""


@dataclass(frozen=True, slots=True)
class Up:
    """What is to be brought up. `arrive`: clients of the first workload a second, with its first mix; 0 for none."""

    reference: str
    system: System
    seed: int
    without: frozenset[str]
    arrive: float = 0.0
    options: LiveOptions = LiveOptions()  # noqa: RUF009 (immutable)


def bring_up(up: Up, tell: Callable[[str], None]) -> None:
    """Run until interrupted (Ctrl-C, SIGTERM); then faults are undone and everything ends.

    Raises UsageError for safeguards that are not there, and what `LiveRuntime.run` raises.
    """
    unknown = unknown_safeguards(up.system, sorted(up.without))
    if problems := [*map(str, unknown), *up.options.problems()]:
        raise UsageError(problems)
    settings = RunSettings(up.system, up.seed, up.without, up.reference)
    LiveRuntime(up.options).run(settings, lambda session: _stand(session, up, tell))


async def _stand(session: Session, up: Up, tell: Callable[[str], None]) -> None:
    assert isinstance(session, LiveSession)
    control_server = ControlServer(session, up, tell)
    server = await asyncio.start_unix_server(control_server.serve, session.directory / CONTROL)
    main = asyncio.current_task()
    assert main is not None
    with cancelled_by_signals(main) as interruption:
        load = asyncio.ensure_future(_load(session, up))
        told = [0]
        watching = asyncio.ensure_future(_watch(session, told, tell))
        try:
            for name, url in (await session.addresses()).items():
                tell(f"{name:<24}{url}")
            tell(
                f"up in {session.directory.name}; faults: harness fault add|remove|list in another terminal; "
                "Ctrl-C ends it"
            )
            await asyncio.wait([load, watching], return_when=asyncio.FIRST_COMPLETED)
            for one in (load, watching):
                if one.done():
                    one.result()
        except asyncio.CancelledError:
            if not interruption.asked:
                raise
            main.uncancel()
        finally:
            server.close()
            load.cancel()
            await asyncio.wait([load])
            watching.cancel()
            await asyncio.wait([watching])
            await control_server.undo_all()
            _tell_failures(session, told, tell)
    tell("ended; every fault is undone, nothing is left")


def _tell_failures(session: LiveSession, told: list[int], tell: Callable[[str], None]) -> None:
    """What has failed since the last time; `told` holds how many were told."""
    for failure in session.failures[told[0] :]:
        tell(f"{failure.t_s:8.1f} s  {failure.host} failed: {failure.error}")
    told[0] = len(session.failures)


async def _watch(session: LiveSession, told: list[int], tell: Callable[[str], None]) -> None:
    while True:
        await asyncio.sleep(WATCH_EVERY_S)
        _tell_failures(session, told, tell)


async def _load(session: LiveSession, up: Up) -> None:
    """Clients, or nobody, until cancelled."""
    if up.arrive and up.system.workloads:
        workload = up.system.workloads[0]
        load = Load.model_validate(
            {"arrive": f"{up.arrive}/s", "for": DAY, "mix": next(iter(workload.mixes))}
        )
        await Driver(session, up.system, {workload.name: load}, seed=up.seed, drain_s=0).run()
    await asyncio.Event().wait()


@dataclass(slots=True)
class _On:
    fault: Fault
    names: tuple[str, ...]
    applied: Applied
    since_s: float
    failed: str | None = None
    """Why it could not be taken off."""


class ControlServer:
    """Takes requests `{"do": "add", "fault": TEXT}`, `{"do": "remove", "number": N}`, `{"do": "list"}`.

    Answers `{"said": [LINES]}` (and `faults`, structured, to `list`), `{"problems": [LINES]}` for what makes no sense,
    or `{"failed": [LINES]}`.
    """

    def __init__(self, session: LiveSession, up: Up, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._session = session
        self._up = up
        self._on: dict[int, _On] = {}
        self._ends: set[asyncio.Task[None]] = set()
        self._count = 0
        # One change after the other: a number is given to what could be put on.
        self._changing = asyncio.Lock()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            answer = await self._answer(json.loads(await reader.readline()))
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        finally:
            writer.close()

    async def _answer(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            match request:
                case {"do": "add", "fault": str(text)}:
                    async with self._changing:
                        return {"said": [await self._add(text)]}
                case {"do": "remove", "number": int(number)}:
                    async with self._changing:
                        return {"said": [await self._remove(number)]}
                case {"do": "list"}:
                    lines = [self._line(number, on) for number, on in self._on.items()]
                    faults = [self._document(number, on) for number, on in self._on.items()]
                    return {"said": lines or ["no fault is on"], "faults": faults}
            return {"problems": [f"no such request: {request}"]}
        except UsageError as error:
            return {"problems": error.problems}
        except FaultFailed as error:
            return {"failed": [str(error)]}

    async def _add(self, text: str) -> str:
        fault = parse_fault(text, self._up.options)
        number = self._count + 1
        try:
            target = resolve(
                fault.target,
                self._up.system,
                self._up.seed,
                number,
                nodes_only=fault.targets == "nodes",
            )
        except TargetError as error:
            raise UsageError(error.diagnostics) from error
        applied = await fault.apply(target, self._session.primitives)
        self._count = number
        if not fault.lasts_s:
            await applied.undo()
            return self._log(
                f"done: {_what(fault)} on {', '.join(target.names)}; touched {_touched(applied)}"
            )
        on = self._on[number] = _On(fault, target.names, applied, self._session.clock.now())
        task = asyncio.ensure_future(self._end(number, fault.lasts_s))
        self._ends.add(task)
        task.add_done_callback(self._ends.discard)
        return self._log(self._line(number, on))

    async def _end(self, number: int, after_s: float) -> None:
        await asyncio.sleep(after_s)
        async with self._changing:
            if number in self._on:
                with contextlib.suppress(FaultFailed):  # told, and listed
                    await self._remove(number)

    async def _remove(self, number: int) -> str:
        on = self._on.get(number)
        if on is None:
            known = ", ".join(map(str, self._on)) or "none"
            raise UsageError([f"no fault {number} is on; on are {known}"])
        try:
            await on.applied.undo()
        except FaultFailed as error:
            on.failed = str(error)
            raise FaultFailed(self._log(self._line(number, on))) from error
        del self._on[number]
        return self._log(f"{number} is off: {on.fault.fault}; it touched {_touched(on.applied)}")

    def _document(self, number: int, on: _On) -> dict[str, Any]:
        return {
            "number": number,
            "fault": on.fault.fault,
            "parameters": on.fault.parameters(),
            "targets": list(on.names),
            "left_s": None if on.fault.lasts_s >= DAY_S else round(self._left_s(on), 3),
            "exposure": asdict(on.applied.exposure()),
            "failed": on.failed,
        }

    def _left_s(self, on: _On) -> float:
        return max(0.0, on.since_s + on.fault.lasts_s - self._session.clock.now())

    def _line(self, number: int, on: _On) -> str:
        what = f"{number}: {_what(on.fault)} on {', '.join(on.names)}"
        if on.failed is not None:
            return (
                f"{what}, STILL ON, at least in part: {on.failed}; try again: harness fault remove {number}"
            )
        if on.fault.lasts_s >= DAY_S:
            return f"{what}, until it is removed"
        return f"{what}, {self._left_s(on):.0f} s to go"

    def _log(self, line: str) -> str:
        """Told in the first terminal as well."""
        self._tell(f"{self._session.clock.now():8.1f} s  {line}")
        return line

    async def undo_all(self) -> None:
        """The last applied first."""
        for task in self._ends:
            task.cancel()
        while self._on:
            number, on = self._on.popitem()
            try:
                await on.applied.undo()
            except FaultFailed as error:
                self._log(
                    f"{number}: {on.fault.fault} could not be undone ({error}); it ends with its processes"
                )


def _what(fault: Fault) -> str:
    """`latency (delay 400 ms)`: what it is set to, where that is not the default."""
    given = fault.parameters()
    texts = [
        f"{one.name} {quantity(given[one.name], one.unit) if one.unit else given[one.name]}"
        for one in parameters(type(fault))
        if one.name in given and given[one.name] != one.default
    ]
    return f"{fault.fault} ({', '.join(texts)})" if texts else fault.fault


def _touched(applied: Applied) -> str:
    return exposure(asdict(applied.exposure()))


def parse_fault(text: str, options: LiveOptions = LiveOptions()) -> Fault:  # noqa: B008 (immutable)
    """A fault as in an experiment's timeline, without `at`: 'fault: crash, target: {node: edge-a-1}, for: 30s'.

    Raises UsageError with everything that is wrong.
    """
    text = text.strip()
    if not text:
        raise UsageError(["give a fault, for example 'fault: crash, target: {node: edge-a-1}, for: 30s'"])
    text = text if text.startswith("{") else "{" + text + "}"
    try:
        value = read_source(text, "fault").value
        name = value.get("fault")
        kind = FAULTS.get(name) if isinstance(name, str) else None
        lasting = {} if kind is None or kind.instant or "for" in value else {"for": DAY}
        fault = parse_one(text, FAULTS, {**(value if "at" in value else {"at": "0s"}), **lasting})
    except ExperimentError as error:
        raise UsageError([_worded(one) for one in error.diagnostics]) from error
    assert isinstance(fault, Fault)
    if "at" in value:
        raise UsageError(["at: a fault is put on at once; remove 'at'"])
    if lacks := options.capabilities().missing(fault.needed()):
        raise UsageError(map(str, lacks))
    return fault


def _worded(problem: Diagnostic) -> str:
    """Without a place: it is one line that the person has just written."""
    return "; ".join(part for part in (problem.found, problem.allowed, problem.hint) if part)


def ask(request: Mapping[str, Any], state: Path | None = None, run: str | None = None) -> Mapping[str, Any]:
    """Ask the system that is up; with more than one, that in `run` (`run-64`). UsageError when there is none."""
    state = state_directory() if state is None else own_directory(state)
    sockets = {path.parent.name: path for path in sorted(state.glob(f"run-*/{CONTROL}")) if _listens(path)}
    names = ", ".join(sockets) or "none"
    if run is not None and run not in sockets:
        raise UsageError([f"--in {run}: no system is up there; up are {names}"])
    if run is None and len(sockets) != 1:
        more = "; say which with --in" if sockets else ": 'harness up SYSTEM' brings one up"
        raise UsageError([f"exactly one system must be up; up are {names}{more}"])
    (chosen,) = sockets if run is None else (run,)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(ANSWER_S)
        sock.connect(str(sockets[chosen]))
        with sock.makefile("rwb") as line:
            line.write(json.dumps(dict(request)).encode() + b"\n")
            line.flush()
            answer: Mapping[str, Any] = json.loads(line.readline() or b'{"problems": ["it has ended"]}')
            return answer


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as sock:
        return sock.connect_ex(str(path)) == 0
