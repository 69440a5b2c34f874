"""`LiveRuntime`: starts a system in processes of its own, works with it, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager

from harness.errors import UsageError
from harness.live import messages
from harness.live.cpu import Group
from harness.live.external_node import ExternalNode
from harness.live.fork_server import fork_server
from harness.live.kernel.controller import Controller
from harness.live.link_faults import LinkFaults
from harness.live.locust.cluster import LocustCluster, locust_cluster
from harness.live.messages import RowCodec
from harness.live.names import NamesLoop
from harness.live.networks import LiveNetwork, live_network
from harness.live.nodes import LiveNode, NodeContext
from harness.live.options import LiveOptions
from harness.live.primitives import LivePrimitives
from harness.live.processes import run_environment
from harness.live.programs import ports_of
from harness.live.proxy_links import ProxyLinks
from harness.live.run_lock import LiveUnavailable
from harness.live.session import LiveClients, LiveSession, RunContext, begin_run
from harness.live.workspace import Workspace, open_workspace
from harness.runtime.contract import NotReady, RunSettings, Session, check_ready, safeguards_of

MAX_FILES = 65_536
MIN_FILES = 1024
"""A run with a hundred clients needs about so many."""


@contextmanager
def open_files() -> Iterator[int]:
    """Raise the limit to what this user may have, for the time of the block and for processes started in it.

    LiveUnavailable where these are too few.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_FILES)
    limit = max(allowed, soft) if soft != resource.RLIM_INFINITY else MAX_FILES
    if limit < MIN_FILES:
        raise LiveUnavailable(
            f"at most {limit} open files are allowed here (the hard limit); a live run needs {MIN_FILES}: raise it "
            "(ulimit -Hn, /etc/security/limits.conf)"
        )
    if soft in (resource.RLIM_INFINITY, limit):
        yield limit
        return
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    try:
        yield limit
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@asynccontextmanager
async def live_session(
    workspace: Workspace, settings: RunSettings, safeguards: Mapping[str, bool], options: LiveOptions
) -> AsyncIterator[LiveSession]:
    """A started system at run time 0; it ends with the block. NotReady when it does not come up."""
    async with AsyncExitStack() as stack:
        # Workers that people start elsewhere are waited for first, before the run begins.
        cluster = await stack.enter_async_context(locust_cluster(options.load, workspace))
        context = begin_run(settings, safeguards)
        asyncio.get_running_loop().set_exception_handler(context.exception_handler)
        run = messages.RunInfo(
            settings.reference, settings.seed, dict(safeguards), context.origin_s, str(workspace.directory)
        )
        network, forks = await _enter_both(
            stack,
            live_network(workspace, options, context.system.topology, settings.seed, context.fail),
            fork_server(workspace, run),
        )
        links = _proxy_links(context, network, cluster)
        faults = LinkFaults(links)
        shared = NodeContext(
            forks, links, faults, context.journal, RowCodec(context.system), context.attempts
        )
        nodes = {
            node.name: (LiveNode if node.external is None else ExternalNode)(
                shared,
                node,
                network.addresses[node.name],
                Group(workspace.run, node.name),
                network.namespace(node.name),
            )
            for node in context.system.topology.nodes
        }
        await stack.enter_async_context(_ended(nodes, context))
        clients = LiveClients(context, links, network.client_sockets())
        environment = {**run_environment(workspace.directory), **network.clients_environment()}
        await _start(nodes, context, cluster, environment)
        ready_s = context.clock.now()
        await asyncio.sleep(max(0.0, -ready_s))
        primitives = LivePrimitives(workspace, faults, links.traffic, nodes, context.attempts)
        yield LiveSession(context, workspace, links, primitives, clients, cluster, environment, ready_s)


def _proxy_links(context: RunContext, network: LiveNetwork, cluster: LocustCluster | None) -> ProxyLinks:
    return ProxyLinks(
        network.api,
        context.system.topology,
        network.addresses,
        network.listen,
        listen_clients=None if cluster is None else cluster.address,
        controller=None if network.kernel is None else Controller(network.kernel),
        prefix=network.prefix,
        ports=ports_of(context.system.topology, network.addresses, kernel=network.kernel is not None),
    )


async def _start(
    nodes: Mapping[str, LiveNode],
    context: RunContext,
    cluster: LocustCluster | None,
    environment: Mapping[str, str],
) -> None:
    """Start nodes and the processes of the load at the same time. NotReady names every node that did not come up."""

    async def start_load() -> None:
        if cluster is not None and not cluster.workers:
            await cluster.start(environment)

    load, *outcomes = await asyncio.gather(
        start_load(), *(node.start() for node in nodes.values()), return_exceptions=True
    )
    check_ready(context.system.name, dict(zip(nodes, outcomes, strict=True)))
    if load is not None:
        raise load
    if cluster is not None:
        settings = context.settings
        await cluster.prepare(
            settings.reference,
            settings.seed,
            safeguards=context.safeguards,
            origin_s=context.origin_s,
        )


@asynccontextmanager
async def _ended(nodes: Mapping[str, LiveNode], context: RunContext) -> AsyncIterator[None]:
    """At the end of the block, take the last reports of the nodes, record nothing any more, and kill every process."""
    try:
        yield
    finally:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*(node.flush() for node in nodes.values()), return_exceptions=True)
        context.journal.sealed = True
        await asyncio.gather(*(node.end() for node in nodes.values()), return_exceptions=True)


async def _enter_both[A, B](
    stack: AsyncExitStack, first: AbstractAsyncContextManager[A], second: AbstractAsyncContextManager[B]
) -> tuple[A, B]:
    """Enter both at the same time. When one fails, the other is entered to its end; then the failure is raised."""
    a, b = await asyncio.gather(
        stack.enter_async_context(first), stack.enter_async_context(second), return_exceptions=True
    )
    for outcome in (a, b):
        if isinstance(outcome, BaseException):
            raise outcome
    return a, b  # type: ignore[return-value]


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
        with open_files(), open_workspace() as workspace, asyncio.Runner(loop_factory=NamesLoop) as runner:
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
