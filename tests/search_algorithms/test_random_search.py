"""Random search."""

from collections import Counter

import numpy as np
from scipy.stats import chisquare

from analognas.evaluators.base_evaluator import Evaluator
from analognas.evaluators.table import TableEvaluator
from analognas.search_algorithms.random_search import RandomSearch
from analognas.search_spaces.config_space import ConfigSpace
from analognas.search_spaces.nasbench201 import NASBench201Space
from analognas.search_spaces.nasbench201_cells import EDGE_NAMES


def test_random_search_draws_evenly(labels):
    result = RandomSearch(TableEvaluator(labels), 3000).run(NASBench201Space(), 0)
    for name in EDGE_NAMES:
        assert (
            chisquare([v for _, v in sorted(Counter(result.history[name]).items())]).pvalue > 1e-4
        )


def test_a_continuum_is_not_exhausted():
    "101 is how a continuum is counted; a search may look at more of its values."

    class Bump(Evaluator):
        def _check_space(self, space):
            pass

        def _predict(self, configs):
            x = np.array([c["x"] for c in configs])
            return np.stack([x, x, x], axis=1), np.zeros(len(x), bool)

    space = ConfigSpace("digits", "custom")
    space.add_hyperparameter("x", "continuous", 0.0, 1.0)
    assert len(RandomSearch(Bump(), 400).run(space, 0).history) == 400
