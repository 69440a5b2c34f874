"""`LiveRuntime`: the same system on real processes and sockets, in real time, on this machine."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping

from harness.errors import UsageError
from harness.live.limits import open_files
from harness.live.options import LiveOptions
from harness.live.run_lock import LiveUnavailable
from harness.live.session import LiveSession
from harness.live.startup import live_session
from harness.live.workspace import Workspace, open_workspace
from harness.runtime.contract import NotReady, RunSettings, Session, safeguards_of

__all__ = ["LiveRuntime", "LiveSession", "LiveUnavailable", "NotReady"]


class LiveRuntime:
    """Linux only. With the network `proxy` nothing leaves 127.0.0.0/8; with `kernel` nothing leaves the namespaces
    that the run makes for itself."""

    name = "live"

    def __init__(self, options: LiveOptions = LiveOptions()) -> None:  # noqa: B008 (immutable)
        self.options = options

    def run[T](self, settings: RunSettings, body: Callable[[Session], Awaitable[T]]) -> T:
        """Raises what `body` raises; NotReady when the system does not come up, LiveUnavailable when this machine
        cannot run it, LeftBehind when something is still there after the run, InvalidValue for safeguards that the
        system does not have."""
        safeguards = safeguards_of(settings)
        if not sys.platform.startswith("linux"):
            raise LiveUnavailable(f"live runs need Linux (found {sys.platform}); use --runtime sim")
        if not settings.reference:
            raise UsageError(["RunSettings.reference is empty; other processes load the system by this name"])
        # Not `asyncio.run`, which handles Ctrl-C itself: the engine does, and undoes the faults first.
        with open_files(), open_workspace() as workspace, asyncio.Runner() as runner:
            return runner.get_loop().run_until_complete(
                _run(workspace, settings, safeguards, self.options, body)
            )


async def _run[T](
    workspace: Workspace,
    settings: RunSettings,
    safeguards: Mapping[str, bool],
    options: LiveOptions,
    body: Callable[[Session], Awaitable[T]],
) -> T:
    async with live_session(workspace, settings, safeguards, options) as session:
        return await body(session)
