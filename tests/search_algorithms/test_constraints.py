"""Limits on static quantities and on predictions."""

import numpy as np
import pytest
from searches import Counting

from analognas.cost.model import hardware_cost
from analognas.evaluators.base_evaluator import Predictions
from analognas.evaluators.table import TableEvaluator
from analognas.search_algorithms import ea
from analognas.search_algorithms.constraints import QUANTITIES, Constraints, static_quantities
from analognas.search_algorithms.ea_optimized import EAOptimizer
from analognas.search_algorithms.halving import add_fidelity
from analognas.search_algorithms.random_search import RandomSearch
from analognas.search_spaces.config_space import ConfigSpace
from analognas.search_spaces.nasbench201 import NASBench201Space
from analognas.search_spaces.nasbench201_cells import EDGE_NAMES


def middling(space, name):
    "A limit that half of all random architectures meet."
    return float(
        np.median(static_quantities(space, space.sample_arch_uniformly(400, 7), [name])[name])
    )


@pytest.mark.parametrize("kind", ["evolution", "regularized", "local"])
@pytest.mark.parametrize("name", ["tiles", "energy", "depth", "utilisation", "chips"])
@pytest.mark.parametrize(
    "space", [NASBench201Space(), ConfigSpace("digits")], ids=["cells", "digits"]
)
def test_limits_on_what_is_known(labels, kind, name, space):
    worst = middling(space, name)
    evaluator, limits = Counting(), Constraints(limits={name: worst})
    make = {
        "evolution": lambda: EAOptimizer(evaluator, 2, 8, constraints=limits),
        "regularized": lambda: ea.RegularizedEvolution(evaluator, 24, constraints=limits),
        "local": lambda: ea.LocalSearch(evaluator, 24, constraints=limits),
    }
    history = make[kind]().run(space, 0).history
    configs = history[space.get_hyperparameters()].to_dict("records")
    for config in configs:  # one at a time, and not through the limits
        value = (
            space.stats([config])[name][0]
            if name == "depth"
            else hardware_cost(space, [config])[name][0]
        )
        assert value >= worst if name == "utilisation" else value <= worst
    assert history.feasible.all() and len(history) == 24


@pytest.mark.parametrize("name, worst", [("std_1d", 0.45), ("avm", 2.5), ("acc_1d", 85.0)])
def test_limits_on_answers(labels, name, worst):
    evaluator, limits = TableEvaluator(labels), Constraints(limits={name: worst})
    table = {
        tuple(row[:6]): row[6] for row in labels.table[[*EDGE_NAMES, name]].itertuples(index=False)
    }
    for optimizer in (
        EAOptimizer(evaluator, 5, 10, constraints=limits),
        ea.EAOptimizer(evaluator, 60, constraints=limits),
        ea.LocalSearch(evaluator, 60, constraints=limits),
    ):
        history = optimizer.run(NASBench201Space(), 0).history
        measured = np.array(
            [table[tuple(row)] for row in history[list(EDGE_NAMES)].itertuples(index=False)]
        )
        assert (
            history.feasible == (measured >= worst if name == "acc_1d" else measured <= worst)
        ).all()
        assert 0 < history.feasible.mean() < 1


def test_a_rule_of_ones_own_and_the_range_of_the_labels(labels):
    class Unsure(Counting):  # knows nothing beyond three groups
        def _predict(self, configs):
            return super()._predict(configs)[0], np.array([c["M"] > 3 for c in configs])

    space, limits = (
        ConfigSpace("digits"),
        Constraints(allow_extrapolation=False, predicate=lambda c: c["convblock1"] == 2),
    )
    for make in (RandomSearch, ea.EAOptimizer, ea.RegularizedEvolution, ea.LocalSearch):
        result = make(Unsure(), 60, constraints=limits).run(space, 0)
        assert (result.history.convblock1 == 2).all() and result.best_config["M"] == 3
        assert (
            result.history.feasible == (result.history.M <= 3)
        ).all() and not result.history.feasible.all()


def test_limits_as_a_whole():
    space, configs = ConfigSpace("digits"), ConfigSpace("digits").sample_arch_uniformly(80, 0)
    stats, cost = space.stats(configs), hardware_cost(space, configs)
    limits = Constraints(
        0.4, 3, {"macs": 3e7, "latency": 5e-4, "std_1d": 0.5}, predicate=lambda c: c["M"] != 2
    )
    expected = (
        (stats["params"] <= 4e5)
        & (stats["macs"] <= 3e7)
        & (cost.latency <= 5e-4)
        & np.array([c["M"] != 2 for c in configs])
    )
    assert (
        limits.satisfied_by_config(space, configs) == expected
    ).all() and 0 < expected.sum() < 80
    answers = Predictions(
        np.full(4, 90.0),
        np.array([2, 3, 4, 1.0]),
        np.array([0.5, 0.5, 0.1, 0.6]),
        np.zeros(4, bool),
    )
    assert limits.satisfied_by_prediction(answers).tolist() == [True, True, False, False]
    assert limits.satisfied_by_prediction(answers[0]).tolist() == [True]  # one answer, scalars
    assert limits.satisfied_by_config(space, []).shape == (0,)
    assert (
        limits.bounds(static=True).keys() | limits.bounds(static=False).keys()
        == {"params", "avm", "macs", "latency", "std_1d"}
        <= set(QUANTITIES)
    )


def test_a_limit_that_is_met_exactly_is_met():
    space = add_fidelity(ConfigSpace("digits"), 3)
    configs = space.sample_arch_uniformly(20, 0)
    for name in (q for q, about in QUANTITIES.items() if about.static):
        for config in configs[:5]:
            exact = float(static_quantities(space, [config], [name])[name][0])
            assert Constraints(limits={name: exact}).satisfied_by_config(space, [config])[0], name
            worse = np.nextafter(exact, np.inf if QUANTITIES[name].maximise else -np.inf)
            assert not Constraints(limits={name: worse}).satisfied_by_config(space, [config])[0], (
                name
            )
