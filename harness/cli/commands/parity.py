from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.cli.options import Jobs, Json, Load, LocustMaster, LocustWorkers, Paths, Reports, Seed
from harness.cli.outcome import Done

if TYPE_CHECKING:
    from harness.engine.parity import Distribution, Pair


def parity(
    paths: Paths,
    seed: Seed = 1,
    jobs: Jobs = None,
    load: Load = None,
    locust_workers: LocustWorkers = None,
    locust_master: LocustMaster = None,
    reports: Reports = Path("reports"),
    as_json: Json = False,
) -> Done:
    """Run experiments in virtual time and live, and show how far apart the two are. Exit 1 when verdicts differ."""
    from harness.cli.commands.run import cores, writable
    from harness.cli.load import load_settings
    from harness.cli.loading import load as load_files
    from harness.cli.outcome import usage
    from harness.cli.reporting import reporting
    from harness.engine.parity import parity as run_both
    from harness.engine.plan import UsageError
    from harness.engine.runtimes import live_runtime
    from harness.report.finish import finish_run
    from harness.verdict.model import EXIT_CODES, Verdict

    settings = load_settings(load, locust_workers, locust_master)
    loaded = load_files(paths)
    with reporting() as handlers:
        try:
            pairs = run_both(
                loaded,
                seed=seed,
                reports=writable(reports),
                jobs=jobs or cores(),
                live_jobs=jobs or 1,
                live=partial(live_runtime, load=settings),
                handlers=handlers,
                finish=finish_run,
            )
        except UsageError as error:
            raise usage(*error.problems) from error
    print("\n".join(line for pair in pairs for line in _lines(pair)))
    agree = bool(pairs) and all(pair.agree for pair in pairs)
    code = EXIT_CODES[Verdict.PASSED if agree else Verdict.FAILED]
    if any(result.verdict is Verdict.INTERRUPTED for pair in pairs for result in (pair.sim, pair.live)):
        code = EXIT_CODES[Verdict.INTERRUPTED]
    return Done(code, {"agree": agree, "exit_code": code, "experiments": [_document(pair) for pair in pairs]})


def _lines(pair: Pair) -> Iterator[str]:
    from harness.verdict.text import quantity

    yield ""
    yield f"{pair.sim.name}: {'the same verdicts' if pair.agree else 'DIFFERENT VERDICTS'}"
    yield f"  {'':<48}{'virtual time':>22}{'live':>22}{'apart':>8}"
    yield f"  {'verdict':<48}{pair.sim.verdict.value:>22}{pair.live.verdict.value:>22}"
    for sim, live in pair.gates:
        texts = [
            f"{quantity(gate.value, gate.unit, gate.limit)} {gate.verdict.value}" for gate in (sim, live)
        ]
        yield f"  {sim.name[:47]:<48}{texts[0]:>22}{texts[1]:>22}{_apart(sim.value, live.value):>8}"
    for each in pair.distributions:
        for name, share in (("median", "p50"), ("90th percentile", "p90")):
            values = [getattr(sample, share) for sample in (each.sim, each.live)]
            texts = [quantity(value, "s") for value in values]
            what = f"{each.table}.{each.column} {name}"
            yield f"  {what:<48}{texts[0]:>22}{texts[1]:>22}{_apart(*values):>8}"
        rows = f"{each.table}.{each.column} rows; distance {each.distance:.2f}"
        yield f"  {rows:<48}{each.sim.rows:>22}{each.live.rows:>22}{_apart(each.sim.rows, each.live.rows):>8}"


def _apart(sim: float | None, live: float | None) -> str:
    """Live against virtual time, relative."""
    if sim is None or live is None or (not sim and live):
        return "-"
    return f"{0.0 if sim == live else (live - sim) / sim:+.0%}"


def _document(pair: Pair) -> dict[str, Any]:
    from harness.verdict.document import experiment_document

    return {
        "name": pair.sim.name,
        "agree": pair.agree,
        "distributions": [_distribution(each) for each in pair.distributions],
        "sim": experiment_document(pair.sim),
        "live": experiment_document(pair.live),
    }


def _distribution(each: Distribution) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(each)
