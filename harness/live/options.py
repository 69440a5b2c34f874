"""`LiveOptions`: how live runs are set up. A new option is a field here, an `Option`, and where it is used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, ClassVar, Literal

from harness.runtime.options import Capabilities, Option

type Network = Literal["proxy", "kernel"]
"""What live runs are connected by: proxies only, or proxies and the kernel (root)."""

PROXY: Network = "proxy"
KERNEL: Network = "kernel"

PORTS = range(1, 65536)


@dataclass(frozen=True, slots=True)
class LoadSettings:
    """Where the clients of a live run live.

    `driver`: `asyncio`, in the harness's own process, or `locust`, in `workers` processes of Locust's. `master`:
    HOST:PORT at which Locust's master waits for workers that are started elsewhere; None: they are started here.
    `plugins`: modules that those processes import, to listen to Locust's events.
    """

    driver: Literal["asyncio", "locust"] = "asyncio"
    workers: int = 1
    master: str | None = None
    plugins: tuple[str, ...] = ()

    @property
    def address(self) -> tuple[str, int] | None:
        """Of the master; None where there is none, or where `master` is not HOST:PORT."""
        return None if self.master is None else parse_address(self.master)

    @property
    def alone(self) -> bool:
        """One process of Locust's is master and worker in one."""
        return self.workers == 1 and self.master is None


@dataclass(frozen=True, slots=True)
class LiveOptions:
    """Real processes and sockets on this machine (`harness.runtime.options.RuntimeOptions`).

    `toxiproxy`: the API of the Toxiproxy server that the proxies are made on; None: one that the run starts.
    """

    network: Network = PROXY
    load: LoadSettings = LoadSettings()
    toxiproxy: str | None = None

    name: ClassVar[str] = "live"
    summary: ClassVar[str] = "real processes and sockets on loopback"
    deterministic: ClassVar[bool] = False
    concurrent: ClassVar[bool] = False
    runtime: ClassVar[str] = "harness.live.runtime:LiveRuntime"
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "network",
            "What live runs are connected by: 'proxy' (the default; works everywhere), or 'kernel', real namespaces, "
            "packet losses and rates (root; see 'harness doctor').",
            choices=(PROXY, KERNEL),
        ),
        Option(
            "toxiproxy",
            "Make the proxies of live runs on the Toxiproxy server whose API is here, such as http://127.0.0.1:8474. "
            "By default a run starts its own.",
            metavar="URL",
        ),
        Option(
            "load",
            "What starts the clients of a live run: 'asyncio', in the harness's own process (the default), or "
            "'locust', in processes of their own.",
            choices=("asyncio", "locust"),
        ),
        Option("locust-workers", "Processes that Locust's clients are spread over (default 1).", min=1),
        Option(
            "locust-master",
            "Wait here for workers, which are started elsewhere with 'harness load worker'.",
            metavar="HOST:PORT",
        ),
        Option(
            "locust-plugin",
            "A Python module that Locust's processes import, to listen to its events. May be repeated.",
            metavar="MODULE",
            many=True,
        ),
    )

    @classmethod
    def from_arguments(cls, given: Mapping[str, Any]) -> LiveOptions:
        """Any option of Locust means `--load locust`, unless `--load` says otherwise."""
        needs_locust = any(name.startswith("locust-") for name in given)
        load = LoadSettings(
            given.get("load", "locust" if needs_locust else "asyncio"),
            given.get("locust-workers", 1),
            given.get("locust-master"),
            tuple(given.get("locust-plugin", ())),
        )
        return cls(given.get("network", PROXY), load, given.get("toxiproxy"))

    def arguments(self) -> tuple[str, ...]:
        load, default = self.load, LiveOptions()
        settings: tuple[tuple[str, object, object], ...] = (
            ("network", self.network, default.network),
            ("toxiproxy", self.toxiproxy, default.toxiproxy),
            ("load", load.driver, default.load.driver),
            ("locust-workers", load.workers, default.load.workers),
            ("locust-master", load.master, default.load.master),
            *(("locust-plugin", plugin, None) for plugin in load.plugins),
        )
        words = ((f"--{name}", str(value)) for name, value, other in settings if value != other)
        return tuple(word for pair in words for word in pair)

    def problems(self, jobs: int = 1) -> tuple[str, ...]:
        return (*self._network_problems(), *self._toxiproxy_problems(), *self._load_problems(jobs))

    def capabilities(self) -> Capabilities:
        from harness.live.primitives import capabilities

        return capabilities(kernel=self.network == KERNEL, external=self.toxiproxy is not None)

    def _network_problems(self) -> Iterator[str]:
        if self.network == KERNEL:
            from harness.live.kernel.probe import missing

            for lack in missing():
                yield f"--network {KERNEL}: {lack} (see: harness doctor)"

    def _toxiproxy_problems(self) -> Iterator[str]:
        if self.toxiproxy is None:
            return
        if self.network != PROXY:
            yield (
                f"--toxiproxy with --network {self.network}: an external server cannot be in the namespaces of a run; "
                "leave out one of them"
            )
            return
        from harness.live.external_proxies import server_problem

        if problem := server_problem(self.toxiproxy):
            yield f"--toxiproxy {problem}"

    def _load_problems(self, jobs: int) -> Iterator[str]:
        load = self.load
        if load.driver == "asyncio" and load != LoadSettings():
            yield "--locust-workers, --locust-master and --locust-plugin need --load locust; found --load asyncio"
        if load.master is not None:
            if load.address is None:
                yield f"--locust-master {load.master}: give HOST:PORT, such as 192.0.2.10:5557"
            elif problem := _unreachable(load.address[0]):
                yield f"--locust-master {load.master}: {problem}"
            if self.network == KERNEL:
                yield (
                    f"--locust-master does not go with --network {KERNEL}: workers elsewhere are not in its namespaces"
                )
            if jobs > 1:
                yield f"--locust-master takes one run at a time; found --jobs {jobs}"
        if load.driver == "locust" and (missing := missing_locust()):
            yield missing


def missing_locust() -> str | None:
    """Why there can be no Locust load on this machine; None when there can. Asked before anything imports it."""
    if find_spec("locust") is None:
        return (
            "--load locust: Locust is not installed; install the extra 'load' "
            "(pip install 'streaming-resilience-harness[load]'), or use --load asyncio"
        )
    return None


def parse_address(text: str) -> tuple[str, int] | None:
    """An IPv4 address or a name, and a port; None for anything else."""
    host, _, port = text.rpartition(":")
    if not host or ":" in host or not port.isdecimal() or int(port) not in PORTS:
        return None
    return host, int(port)


def _unreachable(host: str) -> str | None:
    """Why workers elsewhere cannot reach this machine at this IPv4 address; None when nothing is against it."""
    import socket

    try:
        ip = socket.inet_ntoa(socket.inet_aton(host)) if host[0].isdigit() else ""
    except OSError:
        ip = ""
    if not ip or ip == "0.0.0.0":
        return "give the IPv4 address at which workers reach this machine; no name, and not all addresses"
    with socket.socket() as sock:
        try:
            sock.bind((ip, 0))
        except OSError as error:
            return f"this machine cannot listen there ({error.strerror}); give one of its own addresses"
    return None
