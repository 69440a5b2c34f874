"""The pytest plugin, from the outside: real pytest runs over experiments on the toy system.

The runs are without other plugins: what those import takes longer than the tests. Where the process is not what is
tested, they are in this one.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.support import BACKEND_LOST, BROKEN, LIVE_LOSS, LIVE_ONLY, UNTOUCHED, call, write_suite

ROOT = Path(__file__).parents[1]
OFF = ("--chaos-without=gateway.retry", "--chaos-without=gateway.fallback")


@dataclass(frozen=True)
class Run:
    """A run of pytest. `outcomes`: by the name of the test."""

    directory: Path
    code: int
    out: str
    err: str
    outcomes: dict[str, str]

    def has_lines(self, *patterns: str) -> None:
        """In this order."""
        pytest.LineMatcher(self.out.splitlines()).fnmatch_lines(patterns)


def run_pytest(directory: Path, *arguments: str) -> Run:
    """In this process."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(directory)
        patch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
        patch.setenv("PYTEST_CURRENT_TEST", "")  # the inner run removes it
        patch.setattr(sys, "path", [*sys.path])
        code = pytest.main(_command(directory, *arguments, "-p", "no:faulthandler"))
    return _run(directory, code, out.getvalue(), err.getvalue())


def run_pytest_process(
    directory: Path, *arguments: str, plugins: tuple[str, ...] = ("harness.pytest_plugin",)
) -> Run:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *_command(directory, *arguments, plugins=plugins)],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    return _run(directory, done.returncode, done.stdout, done.stderr)


def _command(
    directory: Path, *arguments: str, plugins: tuple[str, ...] = ("harness.pytest_plugin",)
) -> list[str]:
    loaded = [word for plugin in plugins for word in ("-p", plugin)]
    return [*loaded, f"--junitxml={directory / 'junit.xml'}", *arguments]


def _run(directory: Path, code: int, out: str, err: str) -> Run:
    outcomes = {}
    if (junit := directory / "junit.xml").is_file():
        for case in ET.parse(junit).getroot().iter("testcase"):
            (*children,) = (child.tag for child in case if child.tag != "properties")
            found = [tag for tag in children if tag in ("failure", "error", "skipped")]
            outcomes[str(case.get("name"))] = found[0] if found else "passed"
    return Run(directory, code, out, err, outcomes)


def suite_of(reports: Path) -> Path:
    (suite,) = (path for path in reports.iterdir() if not path.is_symlink())
    return suite


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One that passes, one that is inconclusive and one for another runtime."""
    directory = tmp_path_factory.mktemp("ran")
    write_suite(directory, backend_lost=BACKEND_LOST, untouched=UNTOUCHED, only_live=LIVE_ONLY)
    return run_pytest_process(directory, "experiments", "-v", "-rPs", "--chaos-seed=5", "-W", "error")


def test_a_test_passes_when_its_verdict_is_passed_and_for_nothing_less(ran: Run) -> None:
    assert ran.code == pytest.ExitCode.TESTS_FAILED
    assert ran.outcomes == {"backend-lost": "passed", "untouched": "failure", "only-live": "skipped"}


def test_what_was_measured_is_in_the_report(ran: Run) -> None:
    ran.has_lines("passed: *gates hold*", "passed*answered: 100%*samples, effective *")


def test_the_reports_are_those_of_the_command_line(ran: Run) -> None:
    suite = suite_of(ran.directory / "reports")
    assert (suite / "backend-lost.seed5" / "report.html").is_file()
    assert "backend-lost" in (suite / "index.html").read_text(encoding="utf-8")
    assert f"chaos report: reports/{suite.name}/index.html" in ran.out


def test_inconclusive_is_not_called_a_breach(ran: Run) -> None:
    ran.has_lines("untouched: INCONCLUSIVE: *", "*affected no traffic*")
    assert "FAILED untouched: " not in ran.out


def test_an_experiment_for_another_runtime_is_left_out_with_the_reason(ran: Run) -> None:
    ran.has_lines("SKIPPED*left out: needs --chaos-runtime live")


def test_junit_has_properties_and_the_history_is_that_of_the_command_line(ran: Run) -> None:
    cases = ET.parse(ran.directory / "junit.xml").getroot().iter("testcase")
    (case,) = (case for case in cases if case.get("name") == "untouched")
    properties = {one.get("name"): str(one.get("value")) for one in case.iter("property")}
    file = ran.directory / "experiments" / "untouched.chaos.yaml"
    called = call("run", file, "--seed", 5, "--jobs", 1, "--reports", ran.directory / "cli", "--json")
    (run,) = called.document["experiments"]
    assert properties["chaos_verdict"] == run["verdict"] == "inconclusive"
    assert properties["chaos_seed"] == "5"
    assert properties["chaos_history_sha256"] == run["history_sha256"]
    assert properties["chaos_replay"].startswith("harness replay reports/")
    assert (ran.directory / properties["chaos_run"]).is_dir()


def test_a_breach_names_line_interval_fault_and_replay(tmp_path: Path) -> None:
    write_suite(tmp_path, backend_lost=BACKEND_LOST)
    done = run_pytest(tmp_path, "experiments", *OFF)
    assert done.outcomes == {"backend-lost": "failure"}
    done.has_lines(
        "backend-lost: FAILED: *",
        "experiments/backend-lost.chaos.yaml:10: FAILED backend-lost: answered: *",
        "    measured: *% [[]*%], *, * samples, effective *",
        "    fault: crash of backend-*connect*",
        "    switched off: gateway.fallback, gateway.retry",
        "replay: harness replay reports/*/backend-lost.seed1",
    )
    assert "Traceback" not in done.out


def test_what_is_not_valid_or_cannot_be_done_is_a_collection_error_with_everything(tmp_path: Path) -> None:
    write_suite(tmp_path, broken=BROKEN, live_loss=LIVE_LOSS, backend_lost=BACKEND_LOST)
    done = run_pytest(tmp_path, "experiments", "--chaos-runtime", "live")
    assert done.code == pytest.ExitCode.INTERRUPTED
    assert sorted(done.outcomes.values()) == ["error", "error"]
    done.has_lines(
        "experiments/broken.chaos.yaml:5:22: *",
        "experiments/broken.chaos.yaml:7:10: *did you mean 'answered'?",
        "experiments/live-loss.chaos.yaml:8:30: loss: *",
    )
    assert "Traceback" not in done.out
    assert not (tmp_path / "reports").exists()


def test_an_unknown_safeguard_is_a_collection_error(tmp_path: Path) -> None:
    write_suite(tmp_path, untouched=UNTOUCHED)
    done = run_pytest(tmp_path, "experiments", "--chaos-without", "gateway.fallbak")
    assert list(done.outcomes.values()) == ["error"]
    done.has_lines("*gateway.fallbak*did you mean 'gateway.fallback'?")


def test_one_name_in_two_files_is_refused(tmp_path: Path) -> None:
    write_suite(tmp_path, one=UNTOUCHED, two=UNTOUCHED)
    done = run_pytest(tmp_path, "experiments")
    assert done.code == pytest.ExitCode.USAGE_ERROR
    assert "duplicate experiment name 'untouched'" in done.err
    assert "one.chaos.yaml" in done.err
    assert "two.chaos.yaml" in done.err


@pytest.mark.parametrize(
    ("options", "about"),
    [
        (("--chaos-seed", "-1"), "--chaos-seed -1"),
        (("--chaos-network", "kernel"), "--chaos-network kernel: needs --chaos-runtime live"),
        (("--chaos-runtime", "live", "--chaos-load", "wrk"), "--chaos-load wrk: use asyncio or locust"),
        (("--chaos-runtime", "live", "--chaos-toxiproxy", "ftp://nowhere"), "--toxiproxy ftp://nowhere"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: tuple[str, ...], about: str, tmp_path: Path) -> None:
    done = run_pytest(tmp_path, *options)
    assert done.code == pytest.ExitCode.USAGE_ERROR
    assert about in done.err


def test_marker_and_tags_select(tmp_path: Path) -> None:
    write_suite(tmp_path, backend_lost=BACKEND_LOST, untouched=UNTOUCHED)
    (tmp_path / "test_other.py").write_text("def test_other(): pass\n", encoding="utf-8")
    done = run_pytest(tmp_path, "-m", "not chaos", "--strict-markers")
    assert done.outcomes == {"test_other": "passed"}
    tagged = run_pytest(tmp_path, "-k", "shop", "--collect-only", "-q")
    tagged.has_lines("experiments/backend-lost.chaos.yaml::backend-lost", "1/3 tests collected*")


def test_a_file_for_another_runtime_is_refused_when_it_is_named(tmp_path: Path) -> None:
    suite = write_suite(tmp_path, only_live=LIVE_ONLY)
    named = run_pytest(tmp_path, str(suite / "only-live.chaos.yaml"))
    assert list(named.outcomes.values()) == ["error"]
    named.has_lines("*needs --chaos-runtime live")


def test_when_all_are_left_out_it_is_no_success(tmp_path: Path) -> None:
    write_suite(tmp_path, only_live=LIVE_ONLY)
    assert run_pytest(tmp_path, "experiments").code == pytest.ExitCode.NO_TESTS_COLLECTED


WITH_XDIST = ("harness.pytest_plugin", "xdist")


def test_under_xdist_tests_without_experiments_leave_no_reports(tmp_path: Path) -> None:
    (tmp_path / "test_nothing.py").write_text("def test_nothing(): pass\n", encoding="utf-8")
    assert run_pytest_process(tmp_path, "-n", "1", plugins=WITH_XDIST).outcomes == {"test_nothing": "passed"}
    assert not (tmp_path / "reports").exists()


def test_under_xdist_all_workers_write_into_one_suite(tmp_path: Path) -> None:
    second = UNTOUCHED.replace("experiment: untouched", "experiment: untouched-too")
    write_suite(tmp_path, untouched=UNTOUCHED, untouched_too=second)
    done = run_pytest_process(
        tmp_path, "experiments", "-n", "2", "--chaos-reports", "out", plugins=WITH_XDIST
    )
    assert done.outcomes == {"untouched": "failure", "untouched-too": "failure"}
    suite = suite_of(tmp_path / "out")
    assert f"chaos report: out/{suite.name}/index.html" in done.out
    written = sorted(path.name for path in suite.iterdir())
    assert written == ["index.html", "junit.xml", "untouched-too.seed1", "untouched.seed1"]
    assert (tmp_path / "out" / "latest").resolve() == suite.resolve()
