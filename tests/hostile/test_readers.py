"""No broken or hostile file ends the process, hangs, fills the memory, runs code, or is refused without a sentence that helps.

`python tests/hostile/fuzz.py` prints the table of nbs/trust.ipynb."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).resolve().parent / "fuzz.py"


def run(*arguments: str) -> subprocess.CompletedProcess:
    "Run the command in a process that has one thread, so that it may fork."
    env = os.environ | {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    command = [sys.executable, str(FUZZ), *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True)


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_each_reader_takes_payloads_bombs_and_some_broken_files():
    done = run("few")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(done.stdout.splitlines()) > 15  # a line for each reader


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_each_reader_takes_thousands_of_broken_files():
    done = run("1000")
    assert done.returncode == 0, done.stdout + done.stderr
