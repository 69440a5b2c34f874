from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli.options import (
    Jobs,
    Json,
    Load,
    LocustMaster,
    LocustPlugin,
    LocustWorkers,
    Paths,
    Report,
    Reports,
    Runtime,
    Seed,
    Seeds,
    Toxiproxy,
    Without,
)
from harness.cli.options import (
    Network as NetworkName,
)
from harness.cli.outcome import Done

if TYPE_CHECKING:
    from harness.runtime.contract import Network


def run(
    paths: Paths,
    seed: Seed = 1,
    seeds: Seeds = 1,
    jobs: Jobs = None,
    without: Without = None,
    runtime: Runtime = "sim",
    network: NetworkName = "proxy",
    toxiproxy: Toxiproxy = None,
    load: Load = None,
    locust_workers: LocustWorkers = None,
    locust_master: LocustMaster = None,
    locust_plugin: LocustPlugin = None,
    reports: Reports = Path("reports"),
    report: Report = None,
    as_json: Json = False,
) -> Done:
    """Run experiments, in virtual time or live, and judge them."""
    from harness.cli.external import toxiproxy_at
    from harness.cli.load import load_settings
    from harness.cli.loading import load_for
    from harness.cli.outcome import usage
    from harness.cli.reporting import reporting
    from harness.engine.plan import UsageError
    from harness.engine.runtimes import LIVE, RUNTIMES, live_runtime
    from harness.engine.suite import run_suite, sim_runtime
    from harness.runtime.contract import PROXY
    from harness.verdict.document import suite_document

    if runtime not in RUNTIMES:
        raise usage(f"--runtime {runtime}: there are {' and '.join(RUNTIMES)}")
    over = network_named(network)
    if runtime != LIVE and over != PROXY:
        raise usage(f"--network {over} is for live runs: add --runtime {LIVE}")
    server = toxiproxy_at(toxiproxy, over, live=runtime == LIVE)
    settings = load_settings(load, locust_workers, locust_master, locust_plugin, jobs=jobs or 1, network=over)
    if runtime != LIVE and settings.driver != "asyncio":
        raise usage(f"--load {settings.driver} needs --runtime {LIVE}: in virtual time there is no Locust")
    loaded, left_out = load_for(paths, runtime)
    with reporting(report) as reporters:
        try:
            finished = run_suite(
                loaded,
                seeds=range(seed, seed + seeds),
                # Live runs would take each other's time on the same cores.
                jobs=jobs or (1 if runtime == LIVE else cores()),
                without=tuple(dict.fromkeys(without or ())),
                reports=writable(reports),
                handlers=reporters.handlers,
                finish=reporters.finish,
                runtime=partial(live_runtime, network=over, load=settings, toxiproxy=server)
                if runtime == LIVE
                else sim_runtime,
            )
        except UsageError as error:
            raise usage(*error.problems) from error
    for one in left_out:
        print(f"left out: {one.name} ({one.file}): {one.reason}")
    document = suite_document(finished.results, finished.verdict, finished.exit_code)
    if left_out:
        document["left_out"] = [asdict(one) for one in left_out]
    return Done(finished.exit_code, document)


def network_named(name: str) -> Network:
    """What live runs are connected by. Stops with usage where there is none of that name."""
    from harness.cli.outcome import usage
    from harness.engine.runtimes import NETWORKS

    for known in NETWORKS:
        if name == known:
            return known
    raise usage(f"--network {name}: there are {' and '.join(NETWORKS)}")


def cores() -> int:
    """How many of the machine's cores this process may use."""
    import os

    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def writable(reports: Path) -> Path:
    """The directory, made if it is not there. Stops with usage where nothing can be written."""
    import os

    from harness.cli.outcome import usage

    try:
        reports.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise usage(
            f"--reports {reports}: cannot be made: {error.strerror}; give another directory"
        ) from error
    if not os.access(reports, os.W_OK | os.X_OK):
        raise usage(f"--reports {reports}: cannot be written to; give another directory")
    return reports
