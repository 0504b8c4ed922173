"A small space whose front of two predicted quantities is known."

import numpy as np

from analognas.evaluators.base_evaluator import Evaluator
from analognas.search_spaces.config_space import ConfigSpace

OBJECTIVES = ("acc_1d", "avm")
REFERENCE = {"acc_1d": 70.0, "avm": 6.0}


def zdt_space() -> ConfigSpace:
    "Return 275 architectures: a position along the front, and two distances from it."
    space = ConfigSpace("digits", "custom")
    space.add_hyperparameter("position", "discrete", 0, 10)
    space.add_hyperparameter("near", "discrete", 0, 4)
    space.add_hyperparameter("far", "discrete", 0, 4)
    return space


class ZDT1(Evaluator):
    """Zitzler, Deb and Thiele's first function (Evolutionary Computation 8, 2000) on a grid.

    Accuracy is 90 - 10 f2 and AVM 5 f1; the front is where both distances are 0."""

    percent = False  # far from the front it is below 0

    def _check_space(self, space):
        pass

    def _predict(self, configs):
        f1 = np.array([c["position"] for c in configs]) / 10
        g = 1 + 9 * np.array([c["near"] + c["far"] for c in configs]) / 8
        f2 = g * (1 - np.sqrt(f1 / g))
        values = np.stack([90 - 10 * f2, 5 * f1, 0.1 + 0 * f1], axis=1)
        return values, np.zeros(len(configs), bool)


def zdt_hypervolume() -> float:
    "Return the hypervolume of the front by its rectangles."
    f1 = np.arange(11) / 10
    acc, avm = 80 + 10 * np.sqrt(f1), 5 * f1
    widths = np.diff([*avm, REFERENCE["avm"]])
    return float(np.sum(widths * (acc - REFERENCE["acc_1d"])))
