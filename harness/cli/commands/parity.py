from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
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
    Network,
    Paths,
    Reports,
    Seed,
    Seeds,
    Toxiproxy,
)
from harness.cli.outcome import Done

if TYPE_CHECKING:
    from harness.report.registry import Reporters

HEADINGS = {"live": "Live, in real time:", "sim": "Virtual time:"}


def parity(
    paths: Paths,
    seed: Seed = 1,
    seeds: Seeds = 1,
    jobs: Jobs = None,
    network: Network = "proxy",
    toxiproxy: Toxiproxy = None,
    load: Load = None,
    locust_workers: LocustWorkers = None,
    locust_master: LocustMaster = None,
    locust_plugin: LocustPlugin = None,
    reports: Reports = Path("reports"),
    as_json: Json = False,
) -> Done:
    """Run experiments live and in virtual time, and show how far apart the two are.

    Exit 0: the same verdicts, and every figure within its aim; 1: not; 2: no figure to compare.
    """
    from harness.cli.commands.run import cores, network_named, writable
    from harness.cli.external import toxiproxy_at
    from harness.cli.load import load_settings
    from harness.cli.loading import load as load_files
    from harness.cli.outcome import usage
    from harness.engine.plan import UsageError
    from harness.engine.runtimes import live_runtime
    from harness.parity.page import document, lines, write
    from harness.parity.run import parity as run_both

    over = network_named(network)
    server = toxiproxy_at(toxiproxy, over)
    settings = load_settings(load, locust_workers, locust_master, locust_plugin, jobs=jobs or 1, network=over)
    loaded = load_files(paths)
    try:
        found = run_both(
            loaded,
            seeds=range(seed, seed + seeds),
            reports=writable(reports),
            jobs=jobs or cores(),
            # Live runs would take each other's time on the same cores.
            live_jobs=jobs or 1,
            live=partial(live_runtime, network=over, load=settings, toxiproxy=server),
            report=_report_half,
        )
    except UsageError as error:
        raise usage(*error.problems) from error
    write(found)
    for line in lines(found):
        print(line)
    return Done(found.exit_code, document(found))


@contextmanager
def _report_half(runtime: str) -> Iterator[Reporters]:
    """Progress, without the table of a suite: the result is the comparison at the end."""
    from harness.cli.reporting import reporting

    print(HEADINGS[runtime])
    with reporting(defaults=("html", "junit", "progress")) as reporters:
        yield reporters
