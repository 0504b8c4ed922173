"""Limits on static quantities and on predictions."""

import numpy as np
import pytest
from searches import Counting

from analognas.core import ConfigError
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


@pytest.mark.parametrize("million, limit", [(0.02, 1e6), (1, 2e4)])
@pytest.mark.parametrize("points, limit_avm", [(0.5, 10), (10, 0.5)])
def test_of_two_limits_of_one_quantity_the_tighter_counts(million, limit, points, limit_avm):
    limits = Constraints(million, points, {"params": limit, "avm": limit_avm, "tiles": 40})
    assert limits.bounds(static=True) == {"params": 20_000, "tiles": 40}
    assert limits.bounds(static=False) == {"avm": 0.5}
    said = str(limits)
    assert ("0.02 M" in said) != ("params at most 20000" in said)
    assert "avm at most 0.5 points" in said.lower() and "10" not in said and "1e+06" not in said
    again = Constraints.from_dict(limits.to_dict())
    assert again == limits and str(again) == said

    space, sizes = ConfigSpace("digits"), Constraints(million, limits={"params": limit})
    history = RandomSearch(Counting(), 20, constraints=sizes).run(space, 0).history
    for config in history[space.get_hyperparameters()].to_dict("records"):
        network = space.build_network(config)
        assert sum(p.numel() for p in network.parameters() if p.requires_grad) <= 20_000


def test_short_limits_alone_and_equal_ones_are_said_once():
    assert str(Constraints(1, limits={"params": 1_000_000})) == "at most 1 M parameters"
    assert str(Constraints(limits={"params": 5000, "avm": -1})) == (
        "params at most 5000 and avm at most -1 points"
    )


@pytest.mark.parametrize(
    "limits, says",
    [
        (["macs"], r"limits must be a dict.*got \['macs'\]"),
        ("macs", "limits must be a dict.*got 'macs'"),
        (None, "limits must be a dict.*got None"),
        ({"macs": -5}, "limit of macs must be a finite number at least 0; got -5"),
        ({"acc_1d": 101}, "limit of acc_1d must be .* at least 0 and at most 100; got 101"),
        ({"acc_1d": -1}, "limit of acc_1d must be .* at least 0 and at most 100; got -1"),
        ({"avm": -101}, "limit of avm must be .* at least -100 and at most 100; got -101"),
        ({"std_1d": 100.5}, "limit of std_1d must be .* at most 100; got 100.5"),
        ({"utilisation": 1.01}, "limit of utilisation must be .* at most 1; got 1.01"),
        ({"energy": -1e-9}, "limit of energy must be .* at least 0; got -1e-09"),
    ],
)
def test_impossible_limits_are_refused(limits, says):
    with pytest.raises(ConfigError, match=says):
        Constraints(limits=limits)


def test_possible_limits_at_the_ends_are_taken():
    Constraints(limits={"acc_1d": 100, "avm": -100, "std_1d": 0, "utilisation": 1, "macs": 0})
