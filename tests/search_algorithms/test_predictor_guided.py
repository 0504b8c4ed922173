"The search guided by a predictor; tests/testing/test_optimizers.py has its conformance suite."

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from analognas.core import ConfigError
from analognas.evaluators.base_evaluator import ParamsEvaluator, Prediction
from analognas.evaluators.table import TableEvaluator, nasbench201_labels
from analognas.search_algorithms.constraints import Constraints
from analognas.search_algorithms.predictor_guided import (
    TREES,
    PredictorGuided,
    probability_of_feasibility,
    select_batch,
    tree_predictions,
)
from analognas.search_algorithms.random_search import RandomSearch
from analognas.search_spaces.nasbench201 import NASBench201Space


def test_it_beats_random_search():
    "Best of 80 evaluations over six seeds each."
    space, truth = NASBench201Space(), TableEvaluator(nasbench201_labels())
    guided = [PredictorGuided(truth, 80).run(space, s).best_acc for s in range(6)]
    chance = [RandomSearch(truth, 80).run(space, s).best_acc for s in range(6)]
    assert mannwhitneyu(guided, chance, alternative="greater").pvalue < 0.01


def test_it_never_looks_at_more_than_it_may():
    space, truth = NASBench201Space(), TableEvaluator(nasbench201_labels())
    for n in (7, 33):
        batches = []
        assert len(PredictorGuided(truth, n).run(space, 0, batches.append).history) == n
        assert [len(b) for b in batches] == ([n] if n <= 20 else [20, 10, 3])


def test_trees_do_not_depend_on_the_global_generator():
    X = np.random.default_rng(0).random((30, 4))
    predicted = []
    for seed in (1, 2):
        np.random.seed(seed)  # noqa: NPY002 - the global generator must not matter
        predicted.append(tree_predictions(X, X[:, 0], X[:5], np.random.default_rng(3)))
    assert predicted[0].shape == (TREES, 5) and (predicted[0] == predicted[1]).all()


def test_selected_candidates_differ_and_avoid_what_is_not_feasible():
    rng = np.random.default_rng(0)
    predicted = -rng.random((TREES, 30))
    chance = np.where(np.arange(30) < 10, 1 / 62, 61 / 62)
    chosen = select_batch(predicted, chance, 20, rng)
    assert len(set(chosen)) == 20 and min(chosen) >= 10
    assert sorted(select_batch(predicted, chance, 30, rng)) == list(range(30))


def test_chances_are_learned_for_every_kind_of_limit():
    rng = np.random.default_rng(0)
    X = rng.random((80, 3))
    predictions = [Prediction(100 * x[0], 4 * x[1], 0.1, bool(x[2] > 0.5)) for x in X]
    for limits, ok in (
        (Constraints(T_AVM=2), X[:, 1] <= 0.5),
        (Constraints(limits={"acc_1d": 50}), X[:, 0] >= 0.5),
        (Constraints(allow_extrapolation=False), X[:, 2] <= 0.5),
    ):
        chance = probability_of_feasibility(limits, predictions, X, X, rng)
        assert (0 < chance).all() and (chance < 1).all() and ((chance > 0.5) == ok).mean() > 0.9
    both = probability_of_feasibility(
        Constraints(T_AVM=2, allow_extrapolation=False), predictions, X, X, rng
    )
    assert ((both > 0.25) == ((X[:, 1] <= 0.5) & (X[:, 2] <= 0.5))).mean() > 0.9


@pytest.mark.parametrize(
    "bad",
    [
        {"nb_evaluations": 0},
        {"nb_start": 1},
        {"nb_start": "5"},
        {"batch_size": 0},
        {"batch_size": 1.5},
    ],
)
def test_bad_sizes_are_refused_by_name(bad):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        PredictorGuided(ParamsEvaluator(), **bad)
