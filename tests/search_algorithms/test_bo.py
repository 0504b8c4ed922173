"""Where predictions count only within the range of the labels, Bayesian optimization learns where that is."""

import numpy as np

from analognas.search_algorithms.bo import BOptimizer
from analognas.search_algorithms.constraints import Constraints
from analognas.testing.optimizers import ToyEvaluator, problem


class Half(ToyEvaluator):
    "Wide networks are outside, and seem the best."

    def _predict(self, configs):
        values, _ = super()._predict(configs)
        wide = np.array([c["out_channel0"] >= 32 for c in configs])
        values[:, 0] += 3 * wide
        return values, wide


def test_outside_is_avoided_once_it_is_known():
    space = problem("resnet").space
    outside = {
        inside: BOptimizer(
            Half(), 25, 10, 5, constraints=Constraints(allow_extrapolation=not inside)
        )
        .run(space, 0)
        .history.outside
        for inside in (False, True)
    }
    assert outside[True][:10].equals(outside[False][:10])  # the same start
    assert outside[True][15:].mean() < 0.4 < 0.6 < outside[False][15:].mean()
