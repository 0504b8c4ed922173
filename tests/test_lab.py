"""The lessons come with the package and never overwrite what somebody wrote; the server is really started."""

import subprocess
import sys
from pathlib import Path

import pytest

from analognas.core import ConfigError
from analognas.lab import PAGE, copy_lessons, find_lessons

ROOT = Path(__file__).resolve().parent.parent


def test_every_tutorial_is_a_lesson_and_comes_once(tmp_path):
    copied = copy_lessons(tmp_path / "a" / "b")
    assert (
        {p.name for p in copied}
        == {p.name for p in (ROOT / "nbs" / "tutorials").glob("*.ipynb")}
        >= {PAGE, "starter_notebook.ipynb"}
    )
    assert all(p.read_bytes() == (find_lessons() / p.name).read_bytes() for p in copied)
    (tmp_path / "a" / "b" / PAGE).unlink()
    copied[-1].write_text("mine")
    assert [p.name for p in copy_lessons(tmp_path / "a" / "b")] == [PAGE]
    assert copied[-1].name != PAGE and copied[-1].read_text() == "mine"


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="file"):
        copy_lessons(tmp_path / "file")


def test_an_installed_package_would_bring_the_lessons():
    "setup.py names every notebook of the tutorials as data, where `find_lessons` looks for them."
    code = (
        "import runpy, setuptools; setuptools.setup = lambda **kw: print(*kw['data_files'][0][1], "
        "kw['data_files'][0][0]); "
        "runpy.run_path('setup.py')"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    *lessons, place = told.stdout.split()
    assert place == "share/analognas/lessons"
    assert {Path(p).name for p in lessons} == {
        p.name for p in (ROOT / "nbs" / "tutorials").glob("*.ipynb")
    }


def test_the_command_hands_options_on(tmp_path):
    command = [
        sys.executable,
        "-c",
        "from analognas.cli import main; main()",
        "lab",
        "--folder",
        str(tmp_path),
        "--",
        "--version",
    ]
    told = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    copied, version = told.stdout.strip().splitlines()
    assert copied.endswith(f"lessons copied to {tmp_path}.") and version.split(".")[0] == "4"
