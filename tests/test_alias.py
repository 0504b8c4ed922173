"""The ten-line example that the project promises, word for word, under both names, in a folder of its own."""

import importlib
import json
import os
import re
import subprocess
import sys

import pytest

import analognas

EXAMPLE = """
from analognas.search_spaces.config_space import ConfigSpace
from analognas.evaluators.xgboost import XGBoostEvaluator
from analognas.search_algorithms.ea_optimized import EAOptimizer
from analognas.search_algorithms.worker import Worker

CS = ConfigSpace('CIFAR-10')
evaluator = XGBoostEvaluator()
optimizer = EAOptimizer(evaluator, population_size=20, nb_iter=10)
worker = Worker(CS, optimizer=optimizer, runs=2)
worker.search()
worker.result_summary()
"""


@pytest.mark.parametrize("name", ["analognas", "analogainas"])
def test_the_ten_lines(tmp_path, name):
    run = subprocess.run(
        [sys.executable, "-c", EXAMPLE.replace("analognas", name)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert run.returncode == 0, run.stderr[-2000:]
    assert (
        re.search(r"predicted 1-day accuracy \d+\.\d\d %", run.stdout)
        and "Kendall tau" in run.stdout
    )
    assert "DatasetMismatchWarning" not in run.stderr and "label set 'CIFAR-10'" in run.stdout
    [folder] = (tmp_path / "runs").iterdir()
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["runs"] == 2 and summary["params"] <= 1e6 and summary["avm"] <= 10
    assert [p.name for p in tmp_path.iterdir()] == ["runs"]  # nothing else is left behind


@pytest.mark.parametrize("name", ["analognas", "analogainas"])
def test_short_imports(tmp_path, name):
    code = f"""
from {name} import ConfigSpace, XGBoostEvaluator, EAOptimizer, Worker
from analognas.search_spaces.config_space import ConfigSpace as a
from analognas.evaluators.xgboost import XGBoostEvaluator as b
from analognas.search_algorithms.ea_optimized import EAOptimizer as c
from analognas.search_algorithms.worker import Worker as d
assert (ConfigSpace, XGBoostEvaluator, EAOptimizer, Worker) == (a, b, c, d)
"""
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-2000:]


@pytest.mark.parametrize("old, new", analognas.MOVED.items())
def test_a_module_that_moved_is_found_under_its_old_name_and_warns(old, new):
    sys.modules.pop(old, None)
    with pytest.warns(DeprecationWarning, match=f"{old} is now {new}"):
        assert importlib.import_module(old) is importlib.import_module(new)
