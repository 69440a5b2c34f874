"""What README.md and docs/ show of files and of runs is what there is.

`HARNESS_UPDATE_SHOWN=1 pytest tests/docs/test_shown.py` writes the table of README.md anew (then read the difference).
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest
import yaml

from harness.engine.read import read_experiments
from harness.faults.catalogue import FAULTS, parameters
from tests.cli.support import Called, call

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = (README, *sorted((ROOT / "docs").glob("*.md")))
SHOWN = "experiments/delivery/edge-appliance-loss.chaos.yaml"


def blocks() -> list[tuple[str, str, str]]:
    """Page, path and text of every block that begins with the name of a file of the repository's experiments/."""
    found = []
    for page in PAGES:
        for block in re.findall(r"```yaml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
            first, _, rest = block.partition("\n")
            path = first.removeprefix("# ")
            if first.startswith("# experiments/") and (ROOT / path).exists() and page.name != "own-system.md":
                found.append((page.name, path, rest))
    return found


@pytest.mark.parametrize(
    ("page", "path", "text"), blocks(), ids=[f"{page}:{path}" for page, path, _ in blocks()]
)
def test_a_file_that_is_shown_is_the_file_that_is_there(page: str, path: str, text: str) -> None:
    real = (ROOT / path).read_text(encoding="utf-8")
    if path.endswith("slos.yaml"):  # some of its SLOs
        shown = yaml.safe_load(text)
        assert shown
        assert shown == {name: slo for name, slo in yaml.safe_load(real).items() if name in shown}
    else:
        assert text == real


def test_both_pages_that_show_files_are_looked_at() -> None:
    assert {path for _, path, _ in blocks()} == {SHOWN, "experiments/slos.yaml"}


def test_the_first_experiment_is_valid(tmp_path: Path) -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    file = tmp_path / "first.chaos.yaml"
    file.write_text(text, encoding="utf-8")
    (tmp_path / "slos.yaml").write_text((ROOT / "experiments/slos.yaml").read_text(encoding="utf-8"), "utf-8")
    (loaded,) = read_experiments([file])
    assert loaded.experiment.experiment == "first"


def table(text: str) -> list[str]:
    """The rows of gates, and of notes, of the last table: to its first empty line or the end of its block."""
    _, heading, rest = text.rpartition("  VERDICT        GATE")
    rows = re.split(r"\n\n|\n```", heading + rest, maxsplit=1)[0]
    return [line.strip() for line in rows.splitlines()]


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Called:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        return call("run", SHOWN, "--jobs", 2, "--reports", tmp_path_factory.mktemp("reports"))


recorded_with = pytest.mark.skipif(
    "{}.{}".format(*sys.version_info) != (ROOT / ".python-version").read_text(encoding="utf-8").strip()[:4],
    reason="the figures of README.md are those of the Python version in .python-version",
)


@pytest.mark.slow
@recorded_with
def test_the_table_in_the_readme_is_what_a_run_prints(sample: Called) -> None:
    text = README.read_text(encoding="utf-8")
    if os.environ.get("HARNESS_UPDATE_SHOWN") == "1":
        start = text.rindex("  VERDICT        GATE")
        end = text.index("```", start)
        shown = sample.out[sample.out.index("  VERDICT        GATE") :].partition("\n\n")[0]
        text = f"{text[:start]}{shown}\n{text[end:]}"
        README.write_text(text, encoding="utf-8")
    assert table(text) == table(sample.out)


@pytest.mark.slow
@recorded_with
def test_the_failure_in_the_readme_is_that_of_the_arm(sample: Called) -> None:
    """Without the safeguard in the whole run it comes to what the arm comes to."""
    text = " ".join(README.read_text(encoding="utf-8").split())
    figures = re.search(
        r"without player.failover: .*? ([\d.]+%) +(\[[\d.]+%, [\d.]+%\]).* (\d+)\n", sample.out
    )
    assert figures is not None
    value, interval, samples = figures.groups()
    assert f"why {value} {interval} of {samples} samples are good, less than 99.0%" in text
    assert f"measured {value} {interval}, threshold ≥ 99.0%, {samples} samples" in text


FAULTS_PAGE = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", FAULTS)
def test_every_parameter_is_explained_with_its_unit_and_its_default(name: str) -> None:
    rows = [
        line.split("|") for line in FAULTS_PAGE.splitlines() if re.match(r"\| `[\w-]+`.*\| `\w+` \|", line)
    ]
    explained = {
        (fault, row[2].strip(" `")): row for row in rows for fault in re.findall(r"`([\w-]+)`", row[1])
    }
    for parameter in parameters(FAULTS[name]):
        _, _, _, kind, default, about, _ = explained[name, parameter.name]
        assert parameter.kind.partition(",")[0].partition(" of")[0] in kind
        assert (default.strip() == "needed") == parameter.needed
        assert about.strip()
