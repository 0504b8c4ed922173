"""`.ci/setup` finds a Python, installs once, notices changes and interruptions, and says what to do when it cannot.

A stand-in for pip notes how it was called, so that nothing is downloaded; interpreters and .venv are real.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="the set-up is a bash script")
TOOLS = (
    "bash",
    "cat",
    "dirname",
    "grep",
    "head",
    "mv",
    "rm",
    "uname",
)  # all that the set-up may use
PIP = """
import os, pathlib, sys, time
if sys.argv[1] == "install":
    with open(os.environ["PIP_NOTES"], "a") as f:
        f.write(" ".join(sys.argv[1:]) + "\\n")
    time.sleep(float(os.environ.get("PIP_SLEEP", 0)))
    sys.exit(int(os.environ.get("PIP_EXIT", 0)))
"""
REAL = f"""if [ "$1 $2" = "-m venv" ]; then shift 2; set -- -m venv --without-pip "$@"; fi  # the stand-in does
exec "{sys.executable}" "$@"
"""
FULL_DISK = """
import shutil
shutil.disk_usage = lambda path: shutil._ntuple_diskusage(10**11, 10**11 - 10**9, 10**9)
"""


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


class Checkout:
    "A checkout in which the set-up runs with a PATH of our own."

    def __init__(self, root: Path):
        self.root, self.bin, self.notes = root / "checkout", root / "bin", root / "notes"
        for name in (".ci/setup", "settings.ini", "setup.py", ".constraints.txt"):
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, self.root / name)
        self.bin.mkdir()
        for tool in TOOLS:
            (self.bin / tool).symlink_to(shutil.which(tool))
        (root / "modules" / "pip").mkdir(parents=True)
        (root / "modules" / "pip" / "__main__.py").write_text(PIP)
        (root / "modules" / "pip" / "__init__.py").write_text("")
        self.env = {
            "PATH": str(self.bin),
            "HOME": str(root),
            "PYTHONPATH": str(root / "modules"),
            "PIP_NOTES": str(self.notes),
            "SKIP_DISK_CHECK": "1",
        }

    def python(self, name: str, text: str | None = None) -> Path:
        "Put an interpreter on the PATH: this one, or a script."
        return script(self.bin / name, text or REAL)

    def run(self, **env) -> subprocess.CompletedProcess:
        return subprocess.run(
            [self.bin / "bash", ".ci/setup"],
            cwd=self.root,
            env=self.env | env,
            capture_output=True,
            text=True,
        )

    @property
    def installs(self) -> int:
        return len(self.notes.read_text().splitlines()) if self.notes.exists() else 0


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    "Wait for something that another process does; fail if it does not come."
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.05)


@pytest.fixture
def checkout(tmp_path) -> Checkout:
    return Checkout(tmp_path)


def test_installs_once_and_again_when_something_changed(checkout):
    checkout.python("python3.12")
    first = checkout.run()
    assert first.returncode == 0, first.stderr
    assert "2.9 GB" in first.stderr or "wheels" in first.stderr  # what is going to be downloaded
    assert (
        checkout.notes.read_text()
        == "install -c .constraints.txt -e .[aihwkit,audio,bench,bo,browser,dev,distributed,lab,lessons,moo]\n"
    )

    again = checkout.run()
    assert (again.returncode, again.stdout, again.stderr, checkout.installs) == (0, "", "", 1)

    (checkout.root / ".venv" / "mark").touch()
    for n, name in enumerate(("settings.ini", "setup.py", ".constraints.txt")):
        with open(checkout.root / name, "a") as f:
            f.write("# changed\n")
        assert checkout.run().returncode == 0 and checkout.installs == n + 2
        assert checkout.run().returncode == 0 and checkout.installs == n + 2
    assert (checkout.root / ".venv" / "mark").exists()  # what was installed stayed

    checkout.root = checkout.root.rename(
        checkout.root.with_name("moved")
    )  # scripts in .venv name their folder
    assert checkout.run().returncode == 0 and checkout.installs == 5
    assert not (checkout.root / ".venv" / "mark").exists()


def test_failed_installation_is_tried_again_and_a_killed_one_starts_over(checkout):
    checkout.python("python3.12")
    failed = checkout.run(PIP_EXIT="1")
    assert failed.returncode == 1 and "did not finish" in failed.stderr
    (checkout.root / ".venv" / "mark").touch()
    assert checkout.run().returncode == 0 and checkout.installs == 2
    assert (checkout.root / ".venv" / "mark").exists()

    (checkout.root / "settings.ini").write_text("changed")
    process = subprocess.Popen(
        [checkout.bin / "bash", ".ci/setup"],
        cwd=checkout.root,
        start_new_session=True,
        env=checkout.env | {"PIP_SLEEP": "600"},
        stderr=subprocess.DEVNULL,
    )
    wait_until(lambda: checkout.installs == 3)
    second = checkout.run()
    assert (
        second.returncode == 1
        and f"process {process.pid}" in second.stderr
        and checkout.installs == 3
    )
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert checkout.run().returncode == 0 and checkout.installs == 4
    assert not (checkout.root / ".venv" / "mark").exists()


def test_half_made_environment_is_made_anew(checkout):
    checkout.python("python3.12")
    script(checkout.root / ".venv" / "bin" / "python", "exit 127")
    assert checkout.run().returncode == 0 and checkout.installs == 1


def test_full_disk_is_said_before_anything_is_downloaded(checkout):
    checkout.python("python3.12")
    (Path(checkout.env["PYTHONPATH"]) / "sitecustomize.py").write_text(FULL_DISK)
    run = checkout.run(SKIP_DISK_CHECK="")
    assert run.returncode == 1 and checkout.installs == 0
    assert "Not enough disk space" in run.stderr and "1.0 GB free" in run.stderr


BROKEN_SHIM = 'echo "pyenv: python3.12: command not found" >&2; exit 127'
OLD = 'if [ "$1" = - ]; then echo old; else echo "Python 3.9.18"; fi'


def test_no_python(checkout):
    run = checkout.run()
    assert run.returncode == 1 and "No Python 3.12, 3.13 or 3.14 found" in run.stderr
    assert all(
        how in run.stderr for how in ("pyenv install 3.12", "uv python install 3.12", "PYTHON=")
    )
    assert not (checkout.root / ".venv").exists()


def test_broken_and_old_interpreters_are_passed_over(checkout):
    checkout.python("python3.12", BROKEN_SHIM)
    checkout.python("python3", OLD)
    assert "No Python 3.12, 3.13 or 3.14 found" in checkout.run().stderr
    checkout.python("python")
    run = checkout.run()
    assert run.returncode == 0 and str(checkout.bin / "python") in run.stderr


@pytest.mark.parametrize("root", ["PYENV_ROOT", "HOME"])
def test_pyenv_versions_that_are_not_selected_are_found(checkout, root):
    folder = Path(checkout.env["HOME"]) / ("elsewhere" if root == "PYENV_ROOT" else ".pyenv")
    found = script(folder / "versions" / "3.12.1" / "bin" / "python", REAL)
    run = checkout.run(**({"PYENV_ROOT": str(folder)} if root == "PYENV_ROOT" else {}))
    assert run.returncode == 0 and str(found) in run.stderr


def test_uv_is_asked_last(checkout):
    found = script(Path(checkout.env["HOME"]) / "uv-python", REAL)
    script(checkout.bin / "uv", f'[ "$1 $2" = "python find" ] && echo "{found}"')
    run = checkout.run()
    assert run.returncode == 0 and str(found) in run.stderr


def test_chosen_python(checkout):
    checkout.python("python3.12", BROKEN_SHIM)
    mine = checkout.python("mine")
    assert checkout.run(PYTHON=str(mine)).returncode == 0
    for path, words in (
        (checkout.python("old", OLD), "Python 3.9.18"),
        (checkout.bin / "gone", "is not a program"),
        (checkout.python("shim", BROKEN_SHIM), "will not do"),
    ):
        shutil.rmtree(checkout.root / ".venv", ignore_errors=True)
        run = checkout.run(PYTHON=str(path))
        assert run.returncode == 1 and f"PYTHON={path}" in run.stderr and words in run.stderr


def test_python_without_venv(checkout, tmp_path):
    (tmp_path / "debian").mkdir()
    (tmp_path / "debian" / "ensurepip.py").write_text("raise ImportError('not here')")
    checkout.python("python3", f'PYTHONPATH="{tmp_path}/debian" exec "{sys.executable}" "$@"')
    run = checkout.run()
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert run.returncode == 1 and f"sudo apt install python{version}-venv" in run.stderr
