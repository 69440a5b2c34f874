from __future__ import annotations

from typing import Annotated

import typer

from harness.cli.command import CommandResult, LocustPlugin

PAUSE_S = 2.0
"""Between the end of a run and the wait for the next: the old master must be gone."""


def load(
    what: Annotated[
        str, typer.Argument(metavar="worker", help="'worker': run clients for runs on another machine.")
    ],
    master: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where a run waits for workers (its --locust-master).")
    ],
    locust_plugin: LocustPlugin = None,
) -> CommandResult:
    """Run clients for live runs that wait for workers, one run after the other, until Ctrl-C or five idle minutes.

    It runs the code of any system that a run names: use it for runs, and on networks, that you trust.
    """
    import os
    import subprocess
    import sys
    import time

    from harness.errors import UsageError
    from harness.gates.result import EXIT_CODES, Verdict
    from harness.live.options import missing_locust, parse_address

    problems = [] if what == "worker" else [f"load {what}: only 'worker' is allowed"]
    address = parse_address(master)
    if address is None:
        problems.append(f"--master {master}: give HOST:PORT, as the run prints it")
    if missing := missing_locust():
        problems.append(missing)
    if problems or address is None:
        raise UsageError(problems)
    host, port = address
    print(f"running clients for runs at {host}:{port}; Ctrl-C stops it", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "harness.live.supervised", str(os.getpid())]
    command += ["harness.live.locust.process", "worker", "--measure", "--master", host, str(port)]
    for plugin in locust_plugin or ():
        command += ["--plugin", plugin]
    while True:
        # Locust has a process of its own here too, a new one for every run.
        with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process:
            try:
                status = process.wait()
                if status:
                    return CommandResult(EXIT_CODES[Verdict.ERROR])
                time.sleep(PAUSE_S)  # noqa: TID251 (a person's terminal, no run)
            except KeyboardInterrupt:
                process.kill()
                return CommandResult(0)
