"""The options of a live run's load, checked: all that is wrong at once, before anything starts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.runtime.contract import LoadSettings, Network

DRIVERS = ("asyncio", "locust")
PORTS = range(1, 65536)


def load_settings(
    driver: str | None,
    workers: int | None,
    master: str | None,
    plugins: Sequence[str] | None,
    *,
    jobs: int,
    network: Network,
) -> LoadSettings:
    """What `--load` and the options of Locust ask for; any of these means Locust.

    Stops with usage.
    """
    from harness.cli.outcome import usage
    from harness.runtime.contract import LoadSettings

    problems: list[str] = []
    address = None
    of_locust = workers is not None or master is not None or bool(plugins)
    chosen = driver or ("locust" if of_locust else "asyncio")
    if chosen not in DRIVERS:
        problems.append(f"--load {chosen}: there are {' and '.join(DRIVERS)}")
    elif chosen == "asyncio" and of_locust:
        problems.append("--locust-workers, -master and -plugin need --load locust; found --load asyncio")
    if master is not None:
        address = parse_address(master)
        if address is None:
            problems.append(f"--locust-master {master}: give HOST:PORT, such as 192.0.2.10:5557")
        elif problem := not_here(address[0]):
            problems.append(f"--locust-master {master}: {problem}")
        if network == "kernel":
            problems.append(
                "--locust-master does not go with --network kernel: whoever comes from elsewhere is not in it"
            )
        if jobs > 1:
            problems.append(f"--locust-master: one run at a time can wait there; found --jobs {jobs}")
    if chosen == "locust":
        from harness.live.locust.cluster import refuse_without_locust

        if missing := refuse_without_locust():
            problems.append(missing)
    if problems:
        raise usage(*problems)
    if chosen == "asyncio":
        return LoadSettings()
    return LoadSettings("locust", workers or 1, address, tuple(plugins or ()))


def not_here(host: str) -> str | None:
    """Why workers elsewhere cannot reach this machine at this IPv4 address; None when nothing is against it."""
    import socket

    try:
        ip = socket.inet_ntoa(socket.inet_aton(host)) if host[0].isdigit() else ""
    except OSError:
        ip = ""
    if not ip or ip == "0.0.0.0":
        return "give the IPv4 address by which the workers reach this machine, no name and not all addresses"
    with socket.socket() as sock:
        try:
            sock.bind((ip, 0))
        except OSError as error:
            return f"this machine cannot listen there ({error.strerror}); give one of its own addresses"
    return None


def parse_address(text: str) -> tuple[str, int] | None:
    """An IPv4 address or a name, and a port; None for anything else."""
    host, _, port = text.rpartition(":")
    if not host or ":" in host or not port.isdecimal() or int(port) not in PORTS:
        return None
    return host, int(port)
