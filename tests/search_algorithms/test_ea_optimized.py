"""Evolution on a surrogate: mutation and new architectures."""

from collections import Counter

import numpy as np
import pytest
from scipy.stats import chisquare
from searches import Counting

from analognas.evaluators.base_evaluator import ParamsEvaluator, Prediction
from analognas.evaluators.table import TableEvaluator
from analognas.evaluators.xgboost import WEIGHTS, XGBoostEvaluator
from analognas.search_algorithms.constraints import Constraints
from analognas.search_algorithms.ea_optimized import EAOptimizer, sample_unseen
from analognas.search_algorithms.history import History, Trial
from analognas.search_spaces.config_space import ConfigSpace
from analognas.search_spaces.nasbench201 import NASBench201Space
from analognas.search_spaces.nasbench201_cells import EDGE_NAMES, all_cells, config_of


def test_a_cell_mutates_in_one_edge(labels):
    space, rng = NASBench201Space(), np.random.default_rng(0)
    optimizer = EAOptimizer(TableEvaluator(labels))
    changes = Counter()
    for parent in space.sample_arch_uniformly(300, 0):
        child = optimizer.mutate(space, parent, rng)
        changed = [n for n in parent if parent[n] != child[n]]
        assert len(changed) == 1
        changes[changed[0]] += 1
    assert set(changes) == set(EDGE_NAMES) and chisquare(list(changes.values())).pvalue > 1e-3


@pytest.mark.parametrize(
    "probabilities, roles", [((1, 0, 0), {"width"}), ((0, 1, 0), {"depth"}), ((0, 0, 1), {"other"})]
)
def test_probabilities_choose_the_operators(probabilities, roles):
    space = ConfigSpace("digits")
    space.add_hyperparameter("dropout", "continuous", 0, 0.5, step=0.1)
    optimizer = EAOptimizer(
        ParamsEvaluator(),
        mutation_prob_width=probabilities[0],
        mutation_prob_depth=probabilities[1],
        mutation_prob_other=probabilities[2],
    )
    rng = np.random.default_rng(0)
    for parent in space.sample_arch_uniformly(40, 0):
        child = optimizer.mutate(space, parent, rng)
        changed = {n for n in child if child[n] != parent[n]}
        assert changed and (
            {"depth"} == roles or {space[n].mutation_group for n in changed} == roles
        )
        assert roles != {"depth"} or any(space[n].mutation_group == "depth" for n in changed)


def test_a_small_probability_is_kept():
    "Width in 80 % of children; depth in 30 %: 1,000 children, five standard deviations."
    space, rng = ConfigSpace("digits"), np.random.default_rng(0)
    space.remove_hyperparameter("M")  # a change of M would bring widths of its own
    optimizer = EAOptimizer(
        ParamsEvaluator(), mutation_prob_width=0.8, mutation_prob_depth=0.3, mutation_prob_other=0
    )
    parents = space.sample_arch_uniformly(1000, 0)
    children = [optimizer.mutate(space, p, rng) for p in parents]
    for role, p in (("width", 0.8), ("depth", 0.3)):
        share = np.mean(
            [
                any(
                    c[h.name] != q[h.name]
                    for h in space.hyperparameters
                    if h.mutation_group == role
                )
                for c, q in zip(children, parents, strict=True)
            ]
        )
        expected = p + 0.2 * 0.7 / 2  # neither was drawn: one of them all the same
        assert abs(share - expected) < 5 * np.sqrt(0.25 / 1000)


def test_published_defaults():
    "AnalogNAS's own: 200 generations of 50, 0.8, 0.8, 0.6, one million parameters, ten points."
    ea = EAOptimizer(ParamsEvaluator())
    assert (ea.nb_iter, ea.population_size, ea.mutation_prob) == (
        200,
        50,
        {"width": 0.8, "depth": 0.8, "other": 0.6},
    )
    assert ea.constraints == Constraints(max_nb_param=1, T_AVM=10) and ea.budget == 50 * 201


def test_new_architectures_are_new_and_allowed():
    space, limits = ConfigSpace("digits"), Constraints(max_nb_param=0.3)
    history, rng = History(space, limits), np.random.default_rng(0)
    evaluator = Counting().bind(space)
    for n in (1, 7, 40):
        new = sample_unseen(history, n, rng)
        assert (
            len(new) == n
            and limits.satisfied_by_config(space, new).all()
            and not set(map(space.key, new)) & set(history.trials)
        )
        history.add(new, evaluator.query_pop(new))
    assert sample_unseen(history, 0, rng) == [] and len(history) == 48


def trial(name, acc, feasible=True):
    return Trial({"name": name}, name, Prediction(acc, 1.0, 1.0, False), feasible, acc)


def test_a_network_with_several_names_has_one_place_in_the_population():
    optimizer = EAOptimizer(ParamsEvaluator(), population_size=3)
    parents = [trial("a", 90.0), trial("b", 80.0), trial("c", 70.0)]
    children = [trial("also a", 90.0), trial("d", 85.0), trial("forbidden", 99.0, feasible=False)]
    assert [t.key for t in optimizer.survivors(parents, children)] == ["a", "d", "b"]


def test_repeats_survive_where_places_are_left():
    optimizer = EAOptimizer(ParamsEvaluator(), population_size=3)
    kept = optimizer.survivors([trial("a", 90.0), trial("also a", 90.0)], [trial("b", 80.0)])
    assert [t.key for t in kept] == ["a", "b", "also a"]


def test_an_evaluator_that_knows_equal_networks_does_not_stop_the_search():
    "With all names of the second best network in the population, 9 of 12 seeds stayed there."
    space = NASBench201Space()
    evaluator = XGBoostEvaluator(WEIGHTS / "nasbench201").bind(space)
    everywhere = evaluator.query_pop([config_of(cell) for cell in all_cells()]).acc_1d.max()
    optimizer = EAOptimizer(
        evaluator, nb_iter=30, population_size=20, max_nb_param=None, T_AVM=None
    )
    found = [optimizer.run(space, seed).best_acc for seed in range(6)]
    assert sum(acc == pytest.approx(everywhere, abs=1e-6) for acc in found) >= 5
