"""The view of a run without a panel."""

import pytest

from analognas.core import ConfigError
from analognas.evaluators.base_evaluator import ParamsEvaluator
from analognas.search_algorithms.ea_optimized import EAOptimizer
from analognas.search_algorithms.worker import Worker
from analognas.search_spaces.config_space import ConfigSpace
from analognas.widgets.run_record import read_run
from analognas.widgets.run_view import show_run

SPACE = ConfigSpace("digits")


@pytest.fixture
def finished(tmp_path):
    "A small search that has ended."
    optimizer = EAOptimizer(
        ParamsEvaluator(), nb_iter=2, population_size=6, max_nb_param=0.5, T_AVM=None
    )
    worker = Worker(SPACE, optimizer, runs=2, seed=4, run_dir=tmp_path / "run", progress=False)
    worker.search()
    return worker


def test_show_run_before_a_search_is_an_error():
    with pytest.raises(ConfigError, match="Nothing has been searched yet"):
        show_run(Worker(SPACE, "random_search", ParamsEvaluator()))


def test_show_run_has_two_axes_and_the_best_five(finished):
    view = show_run(finished.directory.path)
    assert len(view.figure.axes) == 2
    assert len(view.table) == 5
    assert "Pareto front has" in view.alt


def test_show_run_of_a_worker_and_of_its_directory_are_the_same(finished):
    by_worker = show_run(finished)
    by_path = show_run(finished.run_dir)
    assert by_worker.alt == by_path.alt
    assert by_worker.table.equals(by_path.table)


def test_planned_is_the_number_of_evaluations_of_a_finished_run(finished):
    record = read_run(finished.run_dir)
    assert record.finished
    assert record.planned == len(finished.evaluations)
