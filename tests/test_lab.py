"""The lessons come with the package and never overwrite what somebody wrote; the server is really started."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from jupyter_server.serverapp import ServerApp

from analognas import lab
from analognas.core import ConfigError
from analognas.lab import PAGE, copy_lessons, find_lessons
from analognas.page import is_loopback

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


RUN = "import sys; from analognas import lab; sys.exit({})"


def started(code: str, cwd: Path, **options) -> subprocess.Popen:
    command = [sys.executable, "-P", "-c", RUN.format(code)]
    return subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, text=True, **options)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGHUP, and kills at SIGTERM")
@pytest.mark.parametrize("name, status", [("SIGTERM", 143), ("SIGHUP", 129), ("SIGINT", 0)])
def test_a_signal_ends_the_server_first(tmp_path, name, status):
    number = getattr(signal, name)
    child = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
    process = started(f"lab.run_server([sys.executable, '-c', {child!r}])", tmp_path)
    pid = int(process.stdout.readline())
    process.send_signal(number)
    assert process.wait(60) == status
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_the_command_hands_options_on_and_executes_no_module_of_the_current_folder(tmp_path):
    for name in ("random", "json", "jupyterlab", "tornado"):
        (tmp_path / f"{name}.py").write_text(f"open('executed_{name}', 'w')\n", encoding="utf-8")
    arguments = ["lab", "--folder", "lessons", "--", "--version"]
    process = started(f"__import__('analognas.cli').cli.main({arguments})", tmp_path)
    copied, version = process.communicate(timeout=300)[0].splitlines()
    assert process.returncode == 0
    assert copied.endswith("lessons copied to lessons.")
    assert version.startswith("4.")
    assert not list(tmp_path.glob("executed_*"))


@pytest.mark.parametrize("voila", [False, True])
def test_the_server_is_reached_from_this_machine_only_and_asks_for_a_token(
    tmp_path, monkeypatch, voila
):
    "No option opens it, and without one Jupyter listens on loopback and makes a token."
    commands = []
    monkeypatch.setattr(lab, "run_server", lambda command, *_: commands.append(command) or 0)
    monkeypatch.setattr(lab, "import_optional", lambda *_: None)
    lab.open_lab(tmp_path, page=voila)
    opened = re.compile(r"--?.*(ip|token|password|allow|origin|host).*=")
    assert not [option for option in commands[0] if opened.match(option)]
    server = ServerApp()
    assert is_loopback(server.ip)
    assert server.identity_provider_class(parent=server).token


def test_the_page_is_the_packages_and_starts_in_an_empty_folder(tmp_path, monkeypatch):
    asked = {}

    def run_server(command, cwd=None, env=None):
        asked.update(command=command, files=list(Path(cwd).iterdir()), env=env)
        return 0

    monkeypatch.setattr(lab, "run_server", run_server)
    monkeypatch.setattr(lab, "import_optional", lambda *_: None)
    (tmp_path / PAGE).write_text("{}", encoding="utf-8")
    assert lab.open_lab(tmp_path, page=True, options=("--no-browser",)) == 0
    python, safe, _, module, notebook, folder, option = asked["command"]
    assert (python, safe, module, option) == (
        sys.executable,
        "-P",
        "analognas.page",
        "--no-browser",
    )
    assert Path(notebook) == find_lessons() / PAGE and folder == f"--Page.folder={tmp_path}"
    assert asked["files"] == [] and asked["env"]["PYTHONSAFEPATH"] == "1"
