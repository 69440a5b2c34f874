"""The offline player against the published simulator (SABRE), and its command line.

`golden/sabre-*.json` hold that simulator's numbers, taken with its own code; none of it is here.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from systems.streaming.player.__main__ import main
from systems.streaming.player.inputs import BadInput, read_movie, read_trace
from systems.streaming.player.offline import Movie, OfflineRecord, play
from systems.streaming.player.trace import Period

GOLDEN = Path(__file__).parent / "golden"
OWN = GOLDEN / "own"
SHARED = next(
    (
        parent / "shared" / "data" / "abr"
        for parent in Path(__file__).resolve().parents
        if (parent / "shared" / "data" / "abr").is_dir()
    ),
    None,
)
TOLERANCE = 1e-6
RESULTS = tuple(OfflineRecord.__dataclass_fields__)


def golden(name: str) -> list[dict[str, Any]]:
    document = json.loads((GOLDEN / name).read_text())
    return [dict(zip(document["columns"], run, strict=True)) for run in document["runs"]]


def differences(runs: list[dict[str, Any]], folder: Path) -> list[str]:
    movies = {name: read_movie(folder / name) for name in {run["movie"] for run in runs}}
    traces = {
        name: read_trace(folder / name if (folder / name).exists() else folder / "traces" / name)
        for name in {run["trace"] for run in runs}
    }
    found = []
    for run in runs:
        record = asdict(
            play(
                movies[run["movie"]],
                traces[run["trace"]],
                abr=run["abr"],
                buffer_s=run["buffer_s"],
                abandon=run["abandon"],
            )
        )
        found += [
            f"{run['movie']} {run['trace']} {run['abr']} {run['buffer_s']} s, abandon {run['abandon']}: "
            f"{name} is {record[name]}, not {run[name]}"
            for name in RESULTS
            if abs(record[name] - run[name]) > TOLERANCE
        ]
    return found


def test_agrees_with_the_published_simulator_on_inputs_of_our_own() -> None:
    runs = golden("sabre-own.json")
    assert len(runs) == 3 * 2 * 3 * 2
    assert not differences(runs, OWN)


@pytest.mark.skipif(SHARED is None, reason="the recorded traces (shared/data/abr) are not beside this clone")
def test_agrees_with_the_published_simulator_on_recorded_networks() -> None:
    assert SHARED is not None
    runs = golden("sabre-shared.json")
    assert len(runs) == 2 * 10 * 2 * 3 * 2
    assert not differences(runs, SHARED)


def test_the_golden_runs_contain_what_makes_a_difference() -> None:
    """Stalls, changes of quality, abandonment that matters and buffers that matter: else they test nothing."""
    runs = golden("sabre-own.json") + golden("sabre-shared.json")
    assert sum(run["rebuffer_events"] > 0 for run in runs) > 50
    assert sum(run["bitrate_change_kbps"] > 0 for run in runs) > 100
    with_and_without = [
        (a, b) for a, b in zip(runs[::2], runs[1::2], strict=True) if a["abandon"] and not b["abandon"]
    ]
    assert len(with_and_without) == len(runs) / 2
    assert sum(a["score"] != b["score"] for a, b in with_and_without) > 50


# ---------------------------------------------------------------------- by hand

FLAT = Movie(2000, (500.0, 1000.0), ((1e6, 2e6),) * 5)


def test_a_slow_network_by_hand() -> None:
    """1 Mbit each 2 s segment, 400 kbit/s, latency 100 ms: every download takes 2.6 s, so each but the first
    stalls for 0.6 s, and the last is played out."""
    record = play(FLAT, (Period(1000, 400, 100),), abr="throughput", buffer_s=10, abandon=False)
    assert record.startup_s == pytest.approx(2.6)
    assert record.rebuffer_s == pytest.approx(4 * 0.6)
    assert record.rebuffer_events == 4
    assert record.play_time_s == pytest.approx(2.6 + 10 + 2.4)
    assert record.bitrate_kbps == pytest.approx(5 * 500 / (15 / 2))
    assert record.utility == 0
    assert record.bitrate_change_kbps == 0
    assert record.score == pytest.approx(-5 * 2.4 / 15)


def test_a_fast_network_fills_the_buffer_and_waits() -> None:
    """10 Mbit/s: after the first segment 1,000 kbit/s is chosen as soon as the buffer pays for it, and the
    whole session lasts the movie and the first download."""
    record = play(FLAT, (Period(1000, 10_000, 0),), abr="throughput", buffer_s=4, abandon=True)
    assert record.startup_s == pytest.approx(0.1)
    assert record.rebuffer_s == 0
    assert record.play_time_s == pytest.approx(10.1)
    assert record.bitrate_kbps == pytest.approx((500 + 4 * 1000) / (10.1 / 2))
    assert record.bitrate_change_kbps == pytest.approx(500 / (10.1 / 2))


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown ABR rule 'best'; allowed: bola, bola-basic, throughput"):
        play(FLAT, (Period(1000, 400, 0),), abr="best", buffer_s=10, abandon=False)


# ---------------------------------------------------------------------- the command line


def arguments(movie: Path, trace: Path, *more: str) -> list[str]:
    return ["--movie", str(movie), "--trace", str(trace), *more]


def test_prints_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    run = next(r for r in golden("sabre-own.json") if r["abr"] == "throughput" and not r["abandon"])
    given = arguments(OWN / run["movie"], OWN / run["trace"], "--abr", "throughput", "--no-abandon")
    assert main([*given, "--buffer", str(run["buffer_s"])]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert list(printed) == list(RESULTS)
    assert printed == pytest.approx({name: run[name] for name in RESULTS}, abs=TOLERANCE)


def test_runs_as_a_module_with_bola_and_25_seconds_unless_told_otherwise() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "systems.streaming.player",
            *arguments(OWN / "movie.json", OWN / "trace-outages.json"),
        ],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    (run,) = (
        r
        for r in golden("sabre-own.json")
        if (r["trace"], r["abr"], r["buffer_s"], r["abandon"]) == ("trace-outages.json", "bola", 25, True)
    )
    assert json.loads(done.stdout) == pytest.approx({name: run[name] for name in RESULTS}, abs=TOLERANCE)
    assert not done.stderr


def refused(capsys: pytest.CaptureFixture[str], given: list[str]) -> str:
    assert main(given) == 4
    captured = capsys.readouterr()
    assert not captured.out
    return captured.err


def test_everything_wrong_with_the_files_is_said_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    movie, trace = tmp_path / "movie.json", tmp_path / "trace.json"
    movie.write_text('{"segment_duration_ms": -1, "bitrates_kbps": [], "segment_sizes_bits": [["a"]]}')
    trace.write_text('[{"duration_ms": 10, "bandwidth_kbps": NaN}]')
    said = refused(capsys, arguments(movie, trace)).splitlines()
    assert len(said) == 5
    for part in ("segment_duration_ms", "bitrates_kbps", "segment_sizes_bits[0][0]"):
        assert any(line.startswith(f"{movie}: {part}: ") for line in said)
    for part in ("[0].bandwidth_kbps", "[0].latency_ms"):
        assert any(line.startswith(f"{trace}: {part}: ") for line in said)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "No such file"),
        ("", "Invalid JSON"),
        ("{", "Invalid JSON"),
        ("\xff", "Invalid JSON"),
        ("[]", "should be an object"),
        (
            '{"segment_duration_ms": 1000, "bitrates_kbps": [2, 1], "segment_sizes_bits": [[1, 2]]}',
            "bitrates_kbps",
        ),
        (
            '{"segment_duration_ms": 1000, "bitrates_kbps": [1, 2], "segment_sizes_bits": [[1, 2], [1]]}',
            "segment_sizes_bits[1] ",
        ),
        (
            '{"segment_duration_ms": 1000, "bitrates_kbps": [1], "segment_sizes_bits": [[0]]}',
            "greater than 0",
        ),
        (
            '{"segment_duration_ms": "1000", "bitrates_kbps": [1], "segment_sizes_bits": [[1]]}',
            "valid number",
        ),
        (
            '{"segment_duration_ms": 30000, "bitrates_kbps": [1], "segment_sizes_bits": [[1]]}',
            "--buffer 25: it must hold more than one segment of 30 s",
        ),
    ],
)
def test_a_bad_movie(
    content: str | None, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    movie = tmp_path / "movie.json"
    if content is not None:
        movie.write_bytes(content.encode("latin-1"))
    assert why in refused(capsys, arguments(movie, OWN / "trace-steady.json"))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("[]", "bandwidth_kbps > 0"),
        ('[{"duration_ms": 9, "bandwidth_kbps": 0, "latency_ms": 1}]', "bandwidth_kbps > 0"),
        ('[{"duration_ms": 0, "bandwidth_kbps": 9, "latency_ms": 1}]', "bandwidth_kbps > 0"),
        ('[{"duration_ms": 9, "bandwidth_kbps": 9, "latency_ms": -1}]', "[0].latency_ms"),
        ('{"duration_ms": 9}', "valid array"),
    ],
)
def test_a_bad_trace(content: str, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = tmp_path / "trace.json"
    trace.write_text(content)
    assert why in refused(capsys, arguments(OWN / "movie.json", trace))


def test_of_very_many_problems_some_are_counted(tmp_path: Path) -> None:
    trace = tmp_path / "trace.json"
    trace.write_text(json.dumps([{"duration_ms": -1, "bandwidth_kbps": 1, "latency_ms": 1}] * 50))
    with pytest.raises(BadInput) as caught:
        read_trace(trace)
    assert len(str(caught.value).splitlines()) == 21
    assert "and 30 more" in str(caught.value)


@pytest.mark.parametrize("given", [["--movie", "x"], ["--abr", "best"], ["--buffer", "much"]])
def test_a_bad_argument_exits_4_too(given: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(given)
    assert caught.value.code == 4
    assert "usage:" in capsys.readouterr().err


def test_a_buffer_that_is_no_number(capsys: pytest.CaptureFixture[str]) -> None:
    given = arguments(OWN / "movie.json", OWN / "trace-steady.json", "--buffer", "nan")
    assert "--buffer nan" in refused(capsys, given)
