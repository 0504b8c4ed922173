"""The conformance suite holds for every optimizer that ships; a new one needs one more line in OPTIMIZERS."""

import dataclasses

import numpy as np
import pytest

from analognas.search_algorithms.bo import BOptimizer
from analognas.search_algorithms.constraints import Constraints
from analognas.search_algorithms.ea import EAOptimizer, LocalSearch, RegularizedEvolution
from analognas.search_algorithms.ea_optimized import EAOptimizer as SurrogateEA
from analognas.search_algorithms.mobo import MultiObjectiveBOptimizer
from analognas.search_algorithms.optuna_sampler import OptunaOptimizer
from analognas.search_algorithms.pareto import NSGA2
from analognas.search_algorithms.predictor_guided import PredictorGuided
from analognas.search_algorithms.random_search import RandomSearch
from analognas.testing.optimizers import (
    OptimizerConformance,
    ToyEvaluator,
    problem,
    run_to_end,
)

OPTIMIZERS = {  # name -> optimizer with a budget of some 40 architectures
    "RandomSearch": lambda evaluator, **limits: RandomSearch(
        evaluator, 40, batch_size=15, **limits
    ),
    "SurrogateEA": lambda evaluator, **limits: SurrogateEA(evaluator, 4, 8, **limits),
    "EAOptimizer": lambda evaluator, **limits: EAOptimizer(evaluator, 40, **limits),
    "EAOptimizerOneByOne": lambda evaluator, **limits: EAOptimizer(
        evaluator, 40, 6, 1, 1, **limits
    ),
    "RegularizedEvolution": lambda evaluator, **limits: RegularizedEvolution(
        evaluator, 40, **limits
    ),
    "RegularizedEvolutionInBatches": lambda evaluator, **limits: RegularizedEvolution(
        evaluator, 40, 7, 3, 6, **limits
    ),
    "LocalSearch": lambda evaluator, **limits: LocalSearch(evaluator, 40, **limits),
    "LocalSearchAllNeighbours": lambda evaluator, **limits: LocalSearch(
        evaluator, 40, 1, 1000, **limits
    ),
}
# those with a model of the scores, in which a shift of both columns is not the same numbers to
# the last bit
LEARNING = {
    "BOptimizer": lambda evaluator, **limits: BOptimizer(evaluator, 25, 10, 5, **limits),
    "PredictorGuided": lambda evaluator, **limits: PredictorGuided(evaluator, 40, 10, 10, **limits),
    "NSGA2": lambda evaluator, **limits: NSGA2(evaluator, ("acc_1d", "avm"), 40, 10, **limits),
    "MultiObjectiveBOptimizer": lambda evaluator, **limits: MultiObjectiveBOptimizer(
        evaluator, ("acc_1d", "avm"), 25, 15, 5, **limits
    ),
    "MultiObjectiveBOptimizerNoisy": lambda evaluator, **limits: MultiObjectiveBOptimizer(
        evaluator, ("acc_1d", "avm"), 20, 15, 5, acquisition="nehvi", **limits
    ),
    "OptunaTPE": lambda evaluator, **limits: OptunaOptimizer(
        evaluator, nb_evaluations=40, **limits
    ),
    "OptunaNSGA2": lambda evaluator, **limits: OptunaOptimizer(
        evaluator, "NSGAIISampler", ("acc_1d", "avm"), 40, options={"population_size": 8}, **limits
    ),
    "OptunaRandomInBatches": lambda evaluator, **limits: OptunaOptimizer(
        evaluator, "RandomSampler", None, 40, 6, **limits
    ),
}

# Gaussian processes take minutes here; test_bo.py and test_mobo.py are quick.
SLOW = {"BOptimizer", "MultiObjectiveBOptimizer", "MultiObjectiveBOptimizerNoisy"}


def suite(name):
    "A test class for one optimizer."

    def make(self, evaluator, constraints, k_std):
        return (OPTIMIZERS | LEARNING)[name](evaluator, constraints=constraints, k_std=k_std)

    kind = type(f"Test{name}", (OptimizerConformance,), {"make": make})
    return pytest.mark.slow(kind) if name in SLOW else kind


globals().update({f"Test{name}": suite(name) for name in OPTIMIZERS | LEARNING})


# ---- what holds for those that ship, and not for every optimizer that somebody may write ----------------------------


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("where", ["cells", "resnet", "custom"])
def test_a_search_sees_scores_and_nothing_else(name, where):
    "k_std = 1 is the same search as one whose evaluator subtracts the spread itself."
    p = problem(where)

    class Subtracts(ToyEvaluator):
        def query_pop(self, configs):
            answers = super().query_pop(configs)
            return dataclasses.replace(answers, acc_1d=answers.acc_1d - answers.std_1d)

    told = [
        run_to_end(
            OPTIMIZERS[name](e, constraints=p.constraints, k_std=k),
            dataclasses.replace(p, evaluator=e),
        )[0].history.to_frame()
        for e, k in ((ToyEvaluator().bind(p.space), 1.0), (Subtracts().bind(p.space), 0.0))
    ]
    assert told[0].drop(columns="acc_1d").equals(told[1].drop(columns="acc_1d")) and not told[
        0
    ].equals(told[1])


@pytest.mark.parametrize(
    "name", [n for n in OPTIMIZERS if n != "SurrogateEA"]
)  # it may reject many before it starts
@pytest.mark.parametrize(
    "limits",
    [
        Constraints(),
        Constraints(T_AVM=2.6),
        Constraints(0.3, 2.2),
        Constraints(limits={"std_1d": 0.29}),
    ],
)
def test_the_budget_holds_also_under_constraints(name, limits):
    p = problem("cells")
    history = run_to_end(OPTIMIZERS[name](p.evaluator, constraints=limits, k_std=0.0), p)[0].history
    assert len(history) == 40


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("limit, best", [(None, 6), (2.5, 4), (0.0, 1)])
def test_a_tiny_space_is_searched_to_its_end(name, limit, best):
    class Ladder(ToyEvaluator):  # the wider the better, and the more it loses
        def _predict(self, configs):
            width = np.array([c["width"] for c in configs])
            return np.stack([80.0 + width, 0.8 * (width - 1), 0.1 + 0 * width], axis=1), np.zeros(
                len(configs), bool
            )

    space = problem("tiny").space
    result = OPTIMIZERS[name](Ladder(), constraints=Constraints(T_AVM=limit)).run(space, 0)
    assert result.best_config == {"width": best} and len(result.history) == 6
