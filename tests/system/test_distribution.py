"""A user's own package `systems` hides the installed one; both can be used."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.system import InvalidSystem, find_system

PROGRAM = """
from harness.system import find_system
reference = find_system("streaming")
own = find_system("systems.mine:system")
import systems.mine
print(reference.name, own.name, systems.mine.__file__, reference.tables["sessions"].__module__)
"""

OWN = (
    'from harness.system import System, Topology\nsystem = System("mine", Topology((), (), ()), (), {}, ())\n'
)


@pytest.mark.parametrize("also_streaming", [False, True])
def test_a_package_of_the_same_name_does_no_harm(tmp_path: Path, also_streaming: bool) -> None:
    package = tmp_path / "systems"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "mine.py").write_text(OWN, encoding="utf-8")
    if also_streaming:
        (package / "streaming").mkdir()
        (package / "streaming" / "__init__.py").touch()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    reference, own, file, module = done.stdout.split()
    assert (reference, own, Path(file)) == ("streaming", "mine", package / "mine.py")
    assert module.endswith(".streaming.records")
    assert module != "systems.streaming.records"


def test_a_script_below_the_project_finds_the_projects_system(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(OWN, encoding="utf-8")
    script = tmp_path / "scripts" / "find.py"
    script.parent.mkdir()
    script.write_text(
        "from harness import find_system\nprint(find_system('mine:system').name)\n", encoding="utf-8"
    )
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "mine\n"), done.stderr


def test_a_misspelt_attribute_has_a_suggestion() -> None:
    with pytest.raises(InvalidSystem) as raised:
        find_system("tests.support.toy_system:sytem")
    assert raised.value.diagnostics[0].hint == "did you mean 'system'?"
