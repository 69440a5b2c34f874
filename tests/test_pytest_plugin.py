"""The pytest plugin, from the outside: real pytest runs over experiments on the toy system."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.cli.support import BACKEND_LOST, BROKEN, UNTOUCHED, write_suite

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[1]
OFF = ("--chaos-without=gateway.retry", "--chaos-without=gateway.fallback")


@pytest.fixture(autouse=True)
def _find_toy_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def test_an_experiment_that_holds_is_a_test_that_passes(pytester: pytest.Pytester) -> None:
    write_suite(pytester.path, backend_lost=BACKEND_LOST)
    done = pytester.runpytest_subprocess("experiments", "-v", "-rP")
    done.assert_outcomes(passed=1)
    done.stdout.fnmatch_lines(
        [
            "experiments/backend-lost.chaos.yaml::backend-lost PASSED*",
            "*chaos*",
            "passed: *gates hold*",
            "passed*answered: 100%*threshold*samples",
            "chaos report: reports/*/index.html",
        ]
    )
    (suite,) = (path for path in (pytester.path / "reports").iterdir() if not path.is_symlink())
    assert (suite / "backend-lost.seed1" / "report.html").is_file()
    assert "backend-lost" in (suite / "index.html").read_text(encoding="utf-8")


def test_a_breach_names_line_interval_limit_fault_and_replay(pytester: pytest.Pytester) -> None:
    write_suite(pytester.path, backend_lost=BACKEND_LOST)
    done = pytester.runpytest_subprocess("experiments", *OFF)
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(
        [
            "backend-lost: FAILED: *",
            "experiments/backend-lost.chaos.yaml:10: FAILED backend-lost: answered: *",
            "    measured: *% [[]*%], threshold ≥ 95.0%, * samples",
            "    fault: crash of backend-*connect*",
            "    switched off: gateway.fallback, gateway.retry",
            "replay: harness replay reports/*/backend-lost.seed1",
        ]
    )
    assert "Traceback" not in done.stdout.str()


def test_inconclusive_is_never_green_and_says_that_it_is_not_a_breach(pytester: pytest.Pytester) -> None:
    write_suite(pytester.path, untouched=UNTOUCHED)
    done = pytester.runpytest_subprocess("experiments")
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(
        [
            "untouched: INCONCLUSIVE: there is not enough evidence that every gate holds",
            "*touched no traffic*",
        ]
    )
    assert "FAILED untouched: " not in done.stdout.str()


def test_a_file_that_is_not_valid_is_a_collection_error_with_everything(pytester: pytest.Pytester) -> None:
    write_suite(pytester.path, broken=BROKEN)
    done = pytester.runpytest_subprocess("experiments")
    assert done.ret == pytest.ExitCode.INTERRUPTED
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines(
        [
            "experiments/broken.chaos.yaml:5:22: 4 needs a unit*",
            "experiments/broken.chaos.yaml:7:10: no SLO *'anwsered'*did you mean 'answered'?",
        ]
    )
    assert "Traceback" not in done.stdout.str()


def test_an_unknown_safeguard_is_a_collection_error(pytester: pytest.Pytester) -> None:
    write_suite(pytester.path, untouched=UNTOUCHED)
    done = pytester.runpytest_subprocess("experiments", "--chaos-without", "gateway.fallbak")
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines(["*unknown safeguard 'gateway.fallbak'*did you mean 'gateway.fallback'?"])


def test_one_name_in_two_files_is_refused(pytester: pytest.Pytester) -> None:
    write_suite(pytester.path, one=UNTOUCHED, two=UNTOUCHED)
    done = pytester.runpytest_subprocess("experiments")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["*'untouched' is in *one.chaos.yaml and in *two.chaos.yaml; names are unique"])


def test_a_seed_below_zero_is_refused(pytester: pytest.Pytester) -> None:
    done = pytester.runpytest_subprocess("--chaos-seed", "-1")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["*--chaos-seed -1: give 0 or more"])


def test_marker_and_tags_select(pytester: pytest.Pytester) -> None:
    write_suite(pytester.path, backend_lost=BACKEND_LOST, untouched=UNTOUCHED)
    pytester.makepyfile(test_other="def test_other(): pass")
    pytester.runpytest_subprocess("-m", "not chaos", "--strict-markers").assert_outcomes(
        passed=1, deselected=2
    )
    done = pytester.runpytest_subprocess("-k", "shop", "--collect-only", "-q")
    done.stdout.fnmatch_lines(["experiments/backend-lost.chaos.yaml::backend-lost", "1/3 tests collected*"])


def test_tests_without_experiments_leave_no_reports(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_nothing(): pass")
    done = pytester.runpytest_subprocess("-n", "2")
    done.assert_outcomes(passed=1)
    assert not (pytester.path / "reports").exists()


def test_junit_has_properties_and_the_same_history_as_the_command_line(pytester: pytest.Pytester) -> None:
    suite = write_suite(pytester.path, untouched=UNTOUCHED)
    pytester.runpytest_subprocess("experiments", "--junitxml=junit.xml", "--chaos-seed=5", "-W", "error")
    case = ET.parse(pytester.path / "junit.xml").getroot().find(".//testcase")
    assert case is not None
    properties = {one.get("name"): one.get("value") for one in case.iter("property")}
    # In a process of its own: pytester takes back what is imported during a test, which C extensions do not survive.
    command = [sys.executable, "-m", "harness", "run", suite, "--seed", "5", "--reports", "cli", "--json"]
    done = subprocess.run(command, capture_output=True, check=False, timeout=100)
    run = json.loads(done.stdout)["experiments"][0]
    assert properties["chaos_verdict"] == run["verdict"] == "inconclusive"
    assert properties["chaos_seed"] == "5"
    assert properties["chaos_history_sha256"] == run["history_sha256"]
    assert str(properties["chaos_replay"]).startswith("harness replay reports/")
    assert Path(str(properties["chaos_run"])).is_dir()


def test_under_xdist_all_workers_write_into_one_suite(pytester: pytest.Pytester) -> None:
    second = UNTOUCHED.replace("experiment: untouched", "experiment: untouched-too")
    write_suite(pytester.path, untouched=UNTOUCHED, untouched_too=second)
    done = pytester.runpytest_subprocess("experiments", "-n", "2", "--chaos-reports", "out")
    done.assert_outcomes(failed=2)
    done.stdout.fnmatch_lines(["untouched: INCONCLUSIVE: *", "chaos report: out/*/index.html"])
    (suite,) = (path for path in (pytester.path / "out").iterdir() if not path.is_symlink())
    assert sorted(path.name for path in suite.iterdir()) == [
        "index.html",
        "junit.xml",
        "untouched-too.seed1",
        "untouched.seed1",
    ]
    assert (pytester.path / "out" / "latest").resolve() == suite.resolve()


LIVE_ONLY = BACKEND_LOST.replace("experiment: backend-lost", "experiment: only-live\nruntime: live")


def test_an_experiment_for_live_runs_is_left_out_with_the_reason(pytester: pytest.Pytester) -> None:
    write_suite(pytester.path, backend_lost=BACKEND_LOST, only_live=LIVE_ONLY)
    done = pytester.runpytest_subprocess("experiments", "-rs")
    done.assert_outcomes(passed=1, skipped=1)
    done.stdout.fnmatch_lines(["SKIPPED*left out: needs --chaos-runtime live"])


def test_an_experiment_for_live_runs_is_refused_when_it_is_named_and_never_a_success(
    pytester: pytest.Pytester,
) -> None:
    suite = write_suite(pytester.path, only_live=LIVE_ONLY)
    named = pytester.runpytest_subprocess(str(suite / "only-live.chaos.yaml"))
    named.assert_outcomes(errors=1)
    named.stdout.fnmatch_lines(["*needs --chaos-runtime live"])
    assert pytester.runpytest_subprocess("experiments").ret == pytest.ExitCode.NO_TESTS_COLLECTED
