"""What a panel shows of a run directory, at any moment of the search."""

import os
from pathlib import Path

import pandas as pd
import pytest

from analognas.core import ConfigError
from analognas.evaluators.base_evaluator import ParamsEvaluator
from analognas.search_algorithms.random_search import RandomSearch
from analognas.search_algorithms.run_directory import BASELINE, SEARCH
from analognas.search_algorithms.worker import Worker
from analognas.search_spaces.config_space import ConfigSpace
from analognas.widgets.run_record import (
    BEST_SHOWN,
    RunRecord,
    best_table,
    evaluation_budget,
    read_run,
    run_directories,
)

SPACE = ConfigSpace("digits")


def search(path, n):
    "A random search."
    worker = Worker(
        SPACE,
        RandomSearch(ParamsEvaluator(), n),
        runs=1,
        seed=4,
        run_dir=path,
        progress=False,
    )
    worker.search()
    return worker


def begun(settings):
    "A run without an evaluation."
    nothing = pd.DataFrame({"method": [], "run": [], "acc_1d": []})
    return RunRecord(Path("run"), SPACE, settings, nothing, False, nothing)


@pytest.mark.parametrize(
    "settings, budget",
    [
        ({"nb_evaluations": 7}, 7),
        ({"population_size": 6, "nb_iter": 2}, 18),  # the first population counts
        ({"population_size": 6}, None),
        ({}, None),
    ],
)
def test_a_budget_counts_the_first_population(settings, budget):
    assert evaluation_budget(settings) == budget


def test_a_finished_run_and_its_best(tmp_path):
    worker = search(tmp_path / "run", 12)
    record = read_run(tmp_path / "run")
    assert record.finished and record.methods == [SEARCH] and record.planned == 12
    expected = worker.evaluations.sort_values("acc_1d", ascending=False)
    expected = expected.drop_duplicates(SPACE.get_hyperparameters())
    assert record.best.acc_1d.tolist() == expected.acc_1d.head(BEST_SHOWN).tolist()


def test_the_table_has_a_place_units_and_sizes(tmp_path):
    search(tmp_path / "run", 12)
    record = read_run(tmp_path / "run")
    table = best_table(record)
    assert table.place.tolist() == list(range(1, len(table) + 1))
    assert table["params"].is_monotonic_decreasing  # the evaluator's only criterion
    assert any("%" in column for column in table.columns)
    inactive = (table.astype(str) == "–").any(axis=None)
    assert inactive == any(
        not SPACE.is_active(name, config)
        for config in record.best[SPACE.get_hyperparameters()].to_dict("records")
        for name in table.columns.intersection(SPACE.get_hyperparameters())
    )


def test_a_search_with_a_baseline_plans_both():
    settings = {"baseline": True, "optimizer": "EAOptimizer", "runs": 2}
    settings |= {"population_size": 6, "nb_iter": 2}
    record = begun(settings)
    assert record.methods == [SEARCH, BASELINE]
    assert record.planned == 18 * 2 * 2


def test_a_random_search_is_its_own_baseline():
    settings = {"baseline": True, "optimizer": "RandomSearch", "runs": 1, "nb_evaluations": 5}
    assert begun(settings).methods == [SEARCH]


def test_the_newest_run_is_listed_first(tmp_path):
    for name, age in (("old", 2000), ("new", 3000)):
        search(tmp_path / name, 2)
        os.utime(tmp_path / name / "settings.json", (age, age))
    (tmp_path / "no run").mkdir()
    assert run_directories(tmp_path) == [str(tmp_path / "new"), str(tmp_path / "old")]


def test_a_folder_without_a_search_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=str(tmp_path)):
        read_run(tmp_path)
