"""Optimizers: what holds for every search, on a table of measurements and on a space with a user's own evaluator."""
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chisquare, mannwhitneyu

from analognas.core import ConfigError, InfeasibleError
from analognas.evaluators.base_evaluator import Evaluator, ParamsEvaluator
from analognas.evaluators.table import TableEvaluator, nasbench201_labels
from analognas.search_algorithms.base import Constraints, History, Optimizer, SearchResult, feasible_start
from analognas.search_algorithms.ea_optimized import EAOptimizer, mutate
from analognas.search_algorithms.random_search import RandomSearch
from analognas.search_spaces.config_space import ConfigSpace
from analognas.search_spaces.nasbench201 import NASBench201Space
from analognas.search_spaces.nasbench201_cells import EDGE_NAMES
from analognas.training.labels import LabelSet


class Counting(Evaluator):
    "A user's own evaluator: deep and narrow is best. It remembers every question."

    def __init__(self):
        self.asked = []

    def _accept(self, space):
        pass

    def _predict(self, configs):
        self.asked += [self.space.key(c) for c in configs]
        stats = self.space.stats(configs)
        size, depth = np.log10(stats["params"]), stats["depth"]
        return np.stack([60 + 5 * np.sqrt(depth) - size, depth / 10, 1 / size], axis=1), np.zeros(len(configs), bool)


class CountingTable(TableEvaluator):
    "The published table, remembering every question."

    def __init__(self, labels):
        super().__init__(labels)
        self.asked = []

    def _predict(self, configs):
        self.asked += [self.space.key(c) for c in configs]
        return super()._predict(configs)


@pytest.fixture(scope="module")
def labels():
    return nasbench201_labels()


def problem(name, labels):
    "Space, evaluator, limits in million parameters and in points."
    if name == "table":
        return NASBench201Space(), CountingTable(labels), 0.5, 2.0
    return ConfigSpace("digits"), Counting(), 0.3, 2.5


MAKE = {
    "random": lambda evaluator, params, avm: RandomSearch(evaluator, 120, params, avm, batch_size=25),
    "evolution": lambda evaluator, params, avm: EAOptimizer(evaluator, 5, 20, max_nb_param=params, T_AVM=avm),
}


@pytest.mark.parametrize("limited", [True, False])
@pytest.mark.parametrize("kind", MAKE)
@pytest.mark.parametrize("name", ["table", "digits"])
def test_what_holds_for_every_search(labels, name, kind, limited):
    space, evaluator, params, avm = problem(name, labels)
    limits = (params, avm) if limited else (None, None)
    optimizer, batches = MAKE[kind](evaluator, *limits), []
    result = optimizer.run(space, 3, batches.append)
    history = result.history
    # nothing is evaluated twice, and everything that was is in the history, in order
    assert len(set(evaluator.asked)) == len(evaluator.asked) == len(history) == sum(map(len, batches))
    configs = history[space.get_hyperparameters()].to_dict("records")
    assert [space.key(c) for c in configs] == evaluator.asked == [space.key(r["config"]) for b in batches for r in b]
    assert optimizer.budget == 120
    start = 20
    if kind == "evolution":  # where feasible architectures are rare, it takes more than a population to find one
        first = History(*problem(name, labels)[:2], Constraints(*limits))
        first.evaluator.bind(space)
        feasible_start(first, 20, np.random.default_rng(3))
        start = len(first)
    assert len(history) <= start + 100
    # constraints
    size = space.stats(configs)["params"]
    if limited:
        assert size.max() <= params * 1e6  # what is too big is not even asked about
        assert (history.feasible == ((size <= params * 1e6) & (history.avm <= avm))).all()
        assert space.stats([result.best_config])["params"][0] <= params * 1e6 and result.best.avm <= avm
    else:
        assert history.feasible.all()
    # the best
    assert result.best_acc == history.acc_1d[history.feasible].max()
    answer = evaluator.query(result.best_config)
    assert (answer.acc_1d, answer.avm, answer.std_1d) == (result.best.acc_1d, result.best.avm, result.best.std_1d)
    assert result.best.measured == (name == "table") and not result.interrupted
    space.validate(result.best_config)
    config, acc = result  # as AnalogNAS's `run` returned them
    assert config == result.best_config and acc == result.best_acc


@pytest.mark.parametrize("kind", MAKE)
@pytest.mark.parametrize("name", ["table", "digits"])
def test_same_seed_same_history(labels, name, kind):
    histories = []
    for seed in (1, 1, 2, np.random.default_rng(1)):
        space, evaluator, params, avm = problem(name, labels)
        np.random.seed(len(histories))  # noqa: NPY002 - the global generator must not matter
        histories.append(MAKE[kind](evaluator, params, avm).run(space, seed).history)
    assert histories[0].equals(histories[1]) and histories[0].equals(histories[3]) and not histories[0].equals(histories[2])


@pytest.mark.parametrize("kind", MAKE)
@pytest.mark.parametrize("name", ["table", "digits"])
def test_ctrl_c_returns_the_best_so_far(labels, name, kind):
    space, evaluator, params, avm = problem(name, labels)
    seen = []

    def interrupt(records):
        seen.extend(records)
        if len(seen) > 60:
            raise KeyboardInterrupt
    result = MAKE[kind](evaluator, params, avm).run(space, 0, interrupt)
    assert result.interrupted and len(result.history) == len(seen) < 120
    assert result.best_acc == max(r["acc_1d"] for r in seen if r["feasible"])
    whole = MAKE[kind](problem(name, labels)[1], params, avm).run(space, 0)
    assert whole.history.iloc[:len(seen)].equals(result.history)


def test_ctrl_c_before_anything_was_found_is_ctrl_c(labels):
    class Stop(Counting):
        def _predict(self, configs):
            raise KeyboardInterrupt
    for make in MAKE.values():
        with pytest.raises(KeyboardInterrupt):
            make(Stop(), None, None).run(ConfigSpace("digits"), 0)


def test_evolution_beats_random_search(labels):
    "Best of 200 evaluations over 20 seeds each; Mann-Whitney's test."
    space, truth = NASBench201Space(), TableEvaluator(labels)
    evolution = [EAOptimizer(truth, 19, 10, max_nb_param=None, T_AVM=None).run(space, s).history.acc_1d[:200].max() for s in range(20)]
    chance = [RandomSearch(truth, 200).run(space, s).best_acc for s in range(20)]
    assert mannwhitneyu(evolution, chance, alternative="greater").pvalue < 0.01


def test_random_search_draws_evenly(labels):
    result = RandomSearch(TableEvaluator(labels), 3000).run(NASBench201Space(), 0)
    for name in EDGE_NAMES:
        assert chisquare([v for _, v in sorted(Counter(result.history[name]).items())]).pvalue > 1e-4


# ---- mutation -------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("role", ["width", "depth"])
def test_a_mutation_is_one_step_of_one_active_hyperparameter_of_its_role(role):
    space, rng, touched = ConfigSpace("digits"), np.random.default_rng(0), set()
    for parent in space.sample_arch_uniformly(150, 1):
        child = mutate(space, parent, role, rng)
        space.validate(child)
        assert child == space.canonical(child)
        changed = {n for n in child if child[n] != parent[n]}
        if "M" in changed:  # the group that comes or goes
            assert role == "depth" and abs(child["M"] - parent["M"]) == 1
            m = str(max(child["M"], parent["M"]))
            assert changed - {"M"} <= {f"{h}{m}" for h in ("R", "convblock", "widenfact", "B")}
            changed = {"M"}
        assert len(changed) == 1
        [name] = changed
        assert space[name].role == role and space.is_active(name, parent)
        values = space[name].values
        assert abs(values.index(child[name]) - values.index(parent[name])) == 1
        touched.add(name)
    assert touched == {h.name for h in space.hyperparameters if h.role == role}


def test_a_mutation_without_anything_to_change_is_the_parent():
    space = ConfigSpace("digits")
    parent = space.sample_arch(0)
    assert mutate(space, parent, "other", np.random.default_rng(0)) == parent


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


@pytest.mark.parametrize("probabilities, roles", [((1, 0, 0), {"width"}), ((0, 1, 0), {"depth"}), ((0, 0, 1), {"other"})])
def test_probabilities_choose_the_operators(probabilities, roles):
    space = ConfigSpace("digits")
    space.add_hyperparameter("dropout", "continuous", 0, 0.5, step=0.1)
    optimizer = EAOptimizer(ParamsEvaluator(), mutation_prob_width=probabilities[0], mutation_prob_depth=probabilities[1],
                            mutation_prob_other=probabilities[2])
    rng = np.random.default_rng(0)
    for parent in space.sample_arch_uniformly(40, 0):
        child = optimizer.mutate(space, parent, rng)
        changed = {n for n in child if child[n] != parent[n]}
        assert changed and ({"depth"} == roles or {space[n].role for n in changed} == roles)
        assert roles != {"depth"} or any(space[n].role == "depth" for n in changed)


def test_a_small_probability_is_kept():
    "Width in 80 % of children; depth in 30 %: 1,000 children, five standard deviations."
    space, rng = ConfigSpace("digits"), np.random.default_rng(0)
    space.remove_hyperparameter("M")  # a change of M would bring widths of its own
    optimizer = EAOptimizer(ParamsEvaluator(), mutation_prob_width=0.8, mutation_prob_depth=0.3, mutation_prob_other=0)
    parents = space.sample_arch_uniformly(1000, 0)
    children = [optimizer.mutate(space, p, rng) for p in parents]
    for role, p in (("width", 0.8), ("depth", 0.3)):
        share = np.mean([any(c[h.name] != q[h.name] for h in space.hyperparameters if h.role == role)
                         for c, q in zip(children, parents, strict=True)])
        expected = p + 0.2 * 0.7 / 2  # neither was drawn: one of them all the same
        assert abs(share - expected) < 5 * np.sqrt(0.25 / 1000)


# ---- small and hard spaces ------------------------------------------------------------------------------------------

def toy(n=6):
    space = ConfigSpace("digits", "custom")
    space.add_hyperparameter("width", "discrete", 1, n)
    table = pd.DataFrame({"width": range(1, n + 1), "acc_1d": np.arange(n) + 80., "avm": np.arange(n) + 1., "std_1d": 0.1})
    return space, TableEvaluator(LabelSet("toy", table, ["width"]))


@pytest.mark.parametrize("limit, best", [(None, 6), (3.0, 3), (1.0, 1)])
@pytest.mark.parametrize("make", [lambda e, t: RandomSearch(e, 50, T_AVM=t),
                                  lambda e, t: EAOptimizer(e, 20, 8, max_nb_param=None, T_AVM=t, mutation_prob_other=1)], ids=MAKE)
def test_a_space_smaller_than_the_search_is_searched_to_the_end(make, limit, best):
    space, truth = toy()
    result = make(truth, limit).run(space, 0)
    assert result.best_config == {"width": best} and len(result.history) == 6


def test_a_continuum_is_not_exhausted():
    "101 is how a continuum is counted; a search may look at more of its values."
    class Bump(Evaluator):
        def _accept(self, space):
            pass

        def _predict(self, configs):
            x = np.array([c["x"] for c in configs])
            return np.stack([x, x, x], axis=1), np.zeros(len(x), bool)
    space = ConfigSpace("digits", "custom")
    space.add_hyperparameter("x", "continuous", 0.0, 1.0)
    assert len(RandomSearch(Bump(), 400).run(space, 0).history) == 400


def test_no_solution_is_an_error_that_names_the_nearest_miss():
    space, truth = toy()
    for optimizer in (RandomSearch(truth, 50, T_AVM=0.5), EAOptimizer(truth, 5, 4, max_nb_param=None, T_AVM=0.5)):
        with pytest.raises(InfeasibleError, match="AVM at most 0.5"):
            optimizer.run(space, 0)
    with pytest.raises(InfeasibleError, match="most robust one loses 1.00 points"):
        EAOptimizer(truth, 5, 4, max_nb_param=None, T_AVM=0.5).run(space, 0)
    evaluator = Counting()
    for optimizer in (RandomSearch(evaluator, 50, 1e-4), EAOptimizer(evaluator, 5, 4, max_nb_param=1e-4)):
        with pytest.raises(InfeasibleError, match="at most 0.0001 M parameters; the smallest had .* Raise max_nb_param"):
            optimizer.run(ConfigSpace("digits"), 0)
    assert not evaluator.asked


def test_an_answer_that_is_no_number_never_wins():
    class Broken(Counting):
        def _predict(self, configs):
            values, outside = super()._predict(configs)
            values[::3, 0] = np.nan
            return values, outside
    for make in MAKE.values():
        try:
            assert np.isfinite(make(Broken(), None, None).run(ConfigSpace("digits"), 0).best_acc)
        except ConfigError:  # saying so is as good
            pass


def test_errors_of_an_evaluator_come_through():
    class Crash(Counting):
        def _predict(self, configs):
            raise ZeroDivisionError
    for make in MAKE.values():
        with pytest.raises(ZeroDivisionError):
            make(Crash(), None, None).run(ConfigSpace("digits"), 0)


# ---- settings -------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("kind, bad", [
    *((RandomSearch, {n: b}) for n in ("nb_evaluations", "batch_size") for b in (0, -1, 1.5, "5", None)),
    *((EAOptimizer, {"population_size": b}) for b in (1, 0, 2.5, "5", None)), *((EAOptimizer, {"nb_iter": b}) for b in (-1, 1.5, None)),
    *((EAOptimizer, {f"mutation_prob_{r}": b}) for r in ("width", "depth", "other") for b in (-0.1, 1.1, np.nan, "x", None)),
    *((k, {n: b}) for k in (RandomSearch, EAOptimizer) for n in ("max_nb_param", "T_AVM") for b in (-1, np.nan, np.inf, "1", True)),
])
def test_bad_settings_are_refused_by_name(kind, bad):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        kind(ParamsEvaluator(), **bad)


def test_an_optimizer_needs_an_evaluator_and_a_chance_to_mutate():
    for bad in (None, "xgboost", ParamsEvaluator):
        with pytest.raises(ConfigError, match="needs an Evaluator"):
            EAOptimizer(bad)
    with pytest.raises(ConfigError, match="At least one mutation probability"):
        EAOptimizer(ParamsEvaluator(), mutation_prob_width=0, mutation_prob_depth=0, mutation_prob_other=0)
    with pytest.raises(ConfigError, match="no hyperparameter whose mutation probability is above 0"):
        EAOptimizer(ParamsEvaluator(), 1, 4, mutation_prob_width=0, mutation_prob_depth=0).run(ConfigSpace("digits"), 0)


def test_published_defaults():
    "AnalogNAS's own: 200 generations of 50, 0.8, 0.8, 0.6, one million parameters, ten points."
    ea = EAOptimizer(ParamsEvaluator())
    assert (ea.nb_iter, ea.population_size, ea.mutation_prob) == (200, 50, {"width": 0.8, "depth": 0.8, "other": 0.6})
    assert ea.constraints == Constraints(max_nb_param=1, T_AVM=10) and ea.budget == 50 * 201


def test_a_user_can_write_an_optimizer():
    class First(Optimizer):
        budget = 1

        def _search(self, history, rng):
            history.evaluate([history.space.sample_arch(rng)] * 3)
            yield
    result = First(Counting(), Constraints()).run(ConfigSpace("digits"), 0)
    assert isinstance(result, SearchResult) and len(result.history) == 1
