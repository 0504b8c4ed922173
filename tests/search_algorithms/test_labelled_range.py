"""A search on predictions stays where the labels are, says so, and can be told to go on."""

import json

import numpy as np
import pytest

from analognas.core import ConfigError, InfeasibleError
from analognas.evaluators.base_evaluator import Evaluator, ParamsEvaluator
from analognas.search_algorithms.constraints import Constraints
from analognas.search_algorithms.ea_optimized import EAOptimizer
from analognas.search_algorithms.random_search import RandomSearch
from analognas.search_algorithms.registry import find_optimizer, selectable_optimizers
from analognas.search_algorithms.worker import Worker
from analognas.search_spaces.config_space import ConfigSpace

SPACE = ConfigSpace("digits")


class Shallow(Evaluator):
    "Deeper is better by its predictions; its labels end at so many layers."

    fitted_to_labels = True

    def __init__(self, end=20):
        self.end = end

    def _check_space(self, space):
        pass

    def _predict(self, configs):
        depth = np.minimum(self.space.stats(configs)["depth"].astype(float), 100)
        return np.stack([depth, depth / 100, depth / 100], axis=1), depth > self.end


class Measuring(Shallow):
    fitted_to_labels = False
    measured = True


def searched(path, runs=1, **arguments):
    optimizer = EAOptimizer(Shallow(), 3, 10, max_nb_param=None, T_AVM=None, **arguments)
    worker = Worker(SPACE, optimizer, runs=runs, seed=0, run_dir=path, progress=False)
    worker.search()
    return worker


def test_the_result_is_within_the_range_and_the_report_says_so(tmp_path, capsys):
    worker = searched(tmp_path / "r", runs=2)
    for result in (*worker.results, *worker.baselines):
        assert not result.best.extrapolated and result.best_acc <= 20
    outside = worker.evaluations.outside.astype(bool)
    assert outside.any() and not worker.evaluations.feasible[outside].any()
    worker.result_summary()
    text = capsys.readouterr().out
    assert "within the range of the labels" in text and "caution" not in text
    settings = json.loads((tmp_path / "r" / "settings.json").read_text())
    assert settings["constraints"]["inside"] is True


def test_it_goes_on_where_it_is_told_to_and_the_report_cautions(tmp_path, capsys):
    worker = searched(tmp_path / "r", allow_extrapolation=True)
    assert worker.best.extrapolated and worker.best_acc > 20
    worker.result_summary()
    text = capsys.readouterr().out
    assert "within the range" not in text
    assert "caution: the best architecture lies outside the range of the labels" in text


@pytest.mark.parametrize("name", selectable_optimizers())
def test_every_optimizer_has_the_same_default(name):
    kind = find_optimizer(name)
    assert not kind(Shallow()).constraints.allow_extrapolation
    assert kind(Shallow(), allow_extrapolation=True).constraints.allow_extrapolation
    for evaluator in (Measuring(), ParamsEvaluator()):
        assert kind(evaluator).constraints.allow_extrapolation
    assert "allow_extrapolation" not in kind(Shallow()).settings()


def test_constraints_take_its_place_unless_both_are_given():
    both = Constraints(T_AVM=3)
    assert RandomSearch(Shallow(), constraints=both).constraints == both
    limited = RandomSearch(Shallow(), constraints=both, allow_extrapolation=False).constraints
    assert (limited.T_AVM, limited.allow_extrapolation) == (3, False)


def test_labels_that_no_architecture_is_within_end_the_search_with_the_way_out():
    with pytest.raises(InfeasibleError, match="allow_extrapolation=True would admit"):
        EAOptimizer(Shallow(end=0), 1, 4).run(SPACE, 0)


@pytest.mark.parametrize("told", [{}, {"allow_extrapolation": False}])
def test_a_directory_of_a_search_that_left_the_range_goes_on_as_begun(tmp_path, told):
    "As release 0.1.0 left one; the same lines of code continue it."
    before = searched(tmp_path / "r", allow_extrapolation=True)
    if told:
        with pytest.raises(ConfigError, match="already in use"):
            searched(tmp_path / "r", **told)
    else:
        again = searched(tmp_path / "r")
        assert again.best_config == before.best_config
        assert len(again.evaluations) == len(before.evaluations)
