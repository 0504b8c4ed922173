"""Evaluators, problems and optimizers that the tests of searches share."""

import numpy as np
import pandas as pd

from analognas.evaluators.base_evaluator import Evaluator
from analognas.evaluators.table import TableEvaluator
from analognas.search_algorithms import ea
from analognas.search_algorithms.base import AskTellSearch
from analognas.search_algorithms.ea_optimized import EAOptimizer
from analognas.search_algorithms.random_search import RandomSearch
from analognas.search_spaces.config_space import ConfigSpace
from analognas.search_spaces.nasbench201 import NASBench201Space
from analognas.training.labels import LabelSet


class Counting(Evaluator):
    "A user's own evaluator: deep and narrow is best. It remembers every question."

    percent = False  # deep networks have more than 100

    def __init__(self):
        self.asked = []

    def _check_space(self, space):
        pass

    def _predict(self, configs):
        self.asked += [self.space.key(c) for c in configs]
        stats = self.space.stats(configs)
        size, depth = np.log10(stats["params"]), stats["depth"]
        return np.stack([60 + 5 * np.sqrt(depth) - size, depth / 10, 1 / size], axis=1), np.zeros(
            len(configs), bool
        )


class CountingTable(TableEvaluator):
    "The published table, remembering every question."

    def __init__(self, labels):
        super().__init__(labels)
        self.asked = []

    def _predict(self, configs):
        self.asked += [self.space.key(c) for c in configs]
        return super()._predict(configs)


def problem(name, labels):
    "Space, evaluator, limits in million parameters and in points."
    if name == "table":
        return NASBench201Space(), CountingTable(labels), 0.5, 2.0
    return ConfigSpace("digits"), Counting(), 0.3, 2.5


MAKE = {
    "random": lambda evaluator, params, avm: RandomSearch(
        evaluator, 120, params, avm, batch_size=25
    ),
    "evolution": lambda evaluator, params, avm: EAOptimizer(
        evaluator, 5, 20, max_nb_param=params, T_AVM=avm
    ),
    "crossover": lambda evaluator, params, avm: ea.EAOptimizer(
        evaluator, 120, max_nb_param=params, T_AVM=avm
    ),
    "regularized": lambda evaluator, params, avm: ea.RegularizedEvolution(
        evaluator, 120, max_nb_param=params, T_AVM=avm
    ),
    "local": lambda evaluator, params, avm: ea.LocalSearch(
        evaluator, 120, max_nb_param=params, T_AVM=avm
    ),
}


def curve(optimizer, space, evaluator, seed):
    "Best accuracy so far after each evaluation, by an evaluator that is bound already."
    search = AskTellSearch(optimizer, space, seed)
    while configs := search.ask():
        search.tell(evaluator.query_pop(configs))
    return search.result().history.acc_1d.cummax().to_numpy()


def toy(n=6):
    space = ConfigSpace("digits", "custom")
    space.add_hyperparameter("width", "discrete", 1, n)
    table = pd.DataFrame(
        {
            "width": range(1, n + 1),
            "acc_1d": np.arange(n) + 80.0,
            "avm": np.arange(n) + 1.0,
            "std_1d": 0.1,
        }
    )
    return space, TableEvaluator(LabelSet("toy", table, ["width"]))
