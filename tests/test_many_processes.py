"""Thirty processes that make the same caches at once, as a class on one machine does in its first minute."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROCESSES = 30
FORKS = f"""
import hashlib, json, multiprocessing, sys
from pathlib import Path
import numpy as np
import analognas.analog.compiled as compiled
from analognas.datasets.base import decoded
from analognas.search_spaces.nasbench201 import load_table

source = Path("source.txt")
fork = multiprocessing.get_context("fork")


@compiled.compiled()
def doubled(x):
    y = np.empty_like(x)
    for i in range(len(x)):
        y[i] = 2 * x[i]
    return y


def work(barrier, answers):
    barrier.wait()  # all begin at the same moment
    made = decoded("letters", [source], {{"size": 1}}, lambda: {{"x": np.arange(200_000)}})
    table = load_table()
    facts = made["x"].tobytes() + table.to_csv().encode() + doubled(np.arange(5.0)).tobytes()
    answers.put(hashlib.sha256(facts).hexdigest())


if not source.exists():
    source.write_text("abc", encoding="utf-8")
barrier, answers = fork.Barrier({PROCESSES}), fork.Queue()
children = [fork.Process(target=work, args=(barrier, answers)) for _ in range({PROCESSES})]
for child in children:
    child.start()
found = [answers.get(timeout=500) for _ in children]
for child in children:
    child.join()
print(json.dumps({{"answers": found, "exits": [child.exitcode for child in children]}}))
"""
ALONE = FORKS.replace(f"range({PROCESSES})", "range(1)").replace(
    f"Barrier({PROCESSES})", "Barrier(1)"
)


def run(script: str, folder: Path) -> dict:
    "Run a script, with the caches in its folder."
    file = folder / "script.py"
    file.write_text(script, encoding="utf-8")
    caches = {
        "ANALOGNAS_CACHE": str(folder / "cache"),
        "NUMBA_CACHE_DIR": str(folder / "numba"),
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
    }
    process = subprocess.run(
        [sys.executable, file], cwd=folder, env=os.environ | caches, capture_output=True, text=True
    )
    assert process.returncode == 0, process.stderr[-2000:]
    return json.loads(process.stdout.strip().splitlines()[-1])


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows forks no processes")
def test_thirty_processes_make_the_same_caches_at_once(tmp_path):
    facts = run(FORKS, tmp_path)
    assert facts["exits"] == [0] * PROCESSES
    assert len(set(facts["answers"])) == 1
    later = run(ALONE, tmp_path)  # reads what they left
    assert later["answers"] == facts["answers"][:1]
    names = [path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert len(names) == 2, names  # whole files, and nothing half-written beside them
