"""Optimizers: what holds for every search, on a table of measurements and on a space with a user's own evaluator."""

import json
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chisquare, mannwhitneyu

from analognas.cost.model import hardware_cost
from analognas.core import ConfigError, InfeasibleError
from analognas.evaluators.base_evaluator import Evaluator, ParamsEvaluator, Prediction
from analognas.evaluators.table import TableEvaluator, nasbench201_labels
from analognas.search_algorithms import ea
from analognas.search_algorithms.base import History, Optimizer, Search, SearchResult
from analognas.search_algorithms.constraints import QUANTITIES, Constraints, known_quantities
from analognas.search_algorithms.ea_optimized import EAOptimizer, draw_new, mutate
from analognas.search_algorithms.halving import add_fidelity
from analognas.search_algorithms.random_search import RandomSearch
from analognas.search_spaces.config_space import ConfigSpace
from analognas.search_spaces.nasbench201 import NASBench201Space
from analognas.search_spaces.nasbench201_cells import EDGE_NAMES
from analognas.training.labels import LabelSet


class Counting(Evaluator):
    "A user's own evaluator: deep and narrow is best. It remembers every question."

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


@pytest.fixture(scope="module")
def labels():
    return nasbench201_labels()


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


@pytest.mark.parametrize("limited", [True, False])
@pytest.mark.parametrize("kind", MAKE)
@pytest.mark.parametrize("name", ["table", "digits"])
def test_what_holds_for_every_search(labels, name, kind, limited):
    space, evaluator, params, avm = problem(name, labels)
    limits = (params, avm) if limited else (None, None)
    optimizer, batches = MAKE[kind](evaluator, *limits), []
    result = optimizer.run(space, 3, batches.append)
    history = result.history
    # the evaluator is asked about everything once, in the order of the history and of the calls
    assert (
        len(set(evaluator.asked)) == len(evaluator.asked) == len(history) == sum(map(len, batches))
    )
    configs = history[space.get_hyperparameters()].to_dict("records")
    assert (
        [space.key(c) for c in configs]
        == evaluator.asked
        == [space.key(r["config"]) for b in batches for r in b]
    )
    assert optimizer.budget == 120 and (limited or len(history) == 120)
    # constraints, counted here
    size = space.stats(configs)["params"]
    if limited:
        assert size.max() <= params * 1e6  # what is too big is not even asked about
        assert (history.feasible == (history.avm <= avm)).all() and not history.feasible.all()
        assert (
            space.stats([result.best_config])["params"][0] <= params * 1e6
            and result.best.avm <= avm
        )
    else:
        assert history.feasible.all()
    # the best
    assert result.best_acc == history.acc_1d[history.feasible].max()
    answer = evaluator.query(result.best_config)
    assert (answer.acc_1d, answer.avm, answer.std_1d) == (
        result.best.acc_1d,
        result.best.avm,
        result.best.std_1d,
    )
    assert result.best.measured == (name == "table") and not result.interrupted
    space.validate(result.best_config)
    config, acc = result  # as AnalogNAS's `run` returned them
    assert config == result.best_config and acc == result.best_acc


def test_another_seed_is_another_search(labels):
    for kind in MAKE:
        space, evaluator, params, avm = problem("digits", labels)
        first, second = (
            MAKE[kind](evaluator, params, avm).run(space, seed).history for seed in (1, 2)
        )
        again = MAKE[kind](evaluator, params, avm).run(space, np.random.default_rng(1)).history
        assert first.equals(again) and not first.equals(second)


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
    assert whole.history.iloc[: len(seen)].to_dict("records") == result.history.to_dict("records")


def test_ctrl_c_before_anything_was_found_is_ctrl_c(labels):
    class Stop(Counting):
        def _predict(self, configs):
            raise KeyboardInterrupt

    for make in MAKE.values():
        with pytest.raises(KeyboardInterrupt):
            make(Stop(), None, None).run(ConfigSpace("digits"), 0)


def curve(optimizer, space, evaluator, seed):
    "Best accuracy so far after each evaluation, by an evaluator that is bound already."
    search = Search(optimizer, space, seed)
    while configs := search.ask():
        search.tell(evaluator.query_pop(configs))
    return search.result().history.acc_1d.cummax().to_numpy()


@pytest.fixture(scope="module")
def table(labels):
    "A table that is bound already."
    return TableEvaluator(labels).bind(NASBench201Space())


@pytest.fixture(scope="module")
def chance(table):
    "What 200 random draws find, for 30 seeds."
    return np.array(
        [curve(RandomSearch(table, 200), table.space, table, seed)[-1] for seed in range(30)]
    )


# points below the best; an independent implementation, same table, 200 seeds: random 1.29, regularized evolution 0.76, local search 0.65
@pytest.mark.parametrize(
    "make, most",
    [
        (lambda e: EAOptimizer(e, 19, 10, max_nb_param=None, T_AVM=None), 0.70),
        (lambda e: ea.EAOptimizer(e), 0.70),
        (lambda e: ea.RegularizedEvolution(e), 0.76),
        (lambda e: ea.LocalSearch(e), 0.80),
    ],
    ids=list(MAKE)[1:],
)
def test_200_evaluations_come_near_the_best_and_beat_random_search(
    labels, table, chance, make, most
):
    "Over 30 seeds; Mann-Whitney's test."
    found = np.array([curve(make(table), table.space, table, seed)[-1] for seed in range(30)])
    best = labels.table.acc_1d.max()
    assert best - found.mean() < most and 1 < best - chance.mean() < 1.6
    assert mannwhitneyu(found, chance, alternative="greater").pvalue < 1e-3


def test_random_search_draws_evenly(labels):
    result = RandomSearch(TableEvaluator(labels), 3000).run(NASBench201Space(), 0)
    for name in EDGE_NAMES:
        assert (
            chisquare([v for _, v in sorted(Counter(result.history[name]).items())]).pvalue > 1e-4
        )


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
        assert space[name].mutation_group == role and space.is_active(name, parent)
        values = space[name].values
        assert abs(values.index(child[name]) - values.index(parent[name])) == 1
        touched.add(name)
    assert touched == {h.name for h in space.hyperparameters if h.mutation_group == role}


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


# ---- small and hard spaces ------------------------------------------------------------------------------------------


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


def test_no_solution_is_an_error_that_names_the_nearest_miss():
    space, truth = toy()
    for optimizer in (
        RandomSearch(truth, 50, T_AVM=0.5),
        EAOptimizer(truth, 5, 4, max_nb_param=None, T_AVM=0.5),
    ):
        with pytest.raises(InfeasibleError, match="AVM at most 0.5"):
            optimizer.run(space, 0)
    with pytest.raises(InfeasibleError, match="The best avm among them was 1.00 points"):
        EAOptimizer(truth, 5, 4, max_nb_param=None, T_AVM=0.5).run(space, 0)
    evaluator = Counting()
    for optimizer in (
        RandomSearch(evaluator, 50, 1e-4),
        EAOptimizer(evaluator, 5, 4, max_nb_param=1e-4),
    ):
        with pytest.raises(
            InfeasibleError,
            match=(
                "at most 0.0001 M parameters.*The best params among them was .*; raise max_nb_param"
            ),
        ):
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


@pytest.mark.parametrize(
    "kind, bad",
    [
        *(
            (RandomSearch, {n: b})
            for n in ("nb_evaluations", "batch_size")
            for b in (0, -1, 1.5, "5", None)
        ),
        *((EAOptimizer, {"population_size": b}) for b in (1, 0, 2.5, "5", None)),
        *((EAOptimizer, {"nb_iter": b}) for b in (-1, 1.5, None)),
        *(
            (EAOptimizer, {f"mutation_prob_{r}": b})
            for r in ("width", "depth", "other")
            for b in (-0.1, 1.1, np.nan, "x", None)
        ),
        *(
            (k, {n: b})
            for k in (ea.EAOptimizer, ea.RegularizedEvolution, ea.LocalSearch)
            for n in ("nb_evaluations", "batch_size")
            for b in (0, 1.5, None)
        ),
        (ea.EAOptimizer, {"crossover_prob": -0.1}),
        (ea.RegularizedEvolution, {"sample_size": 0}),
        (ea.LocalSearch, {"nb_start": 0}),
        *(
            (k, {n: b})
            for k in (RandomSearch, EAOptimizer)
            for n in ("max_nb_param", "T_AVM")
            for b in (-1, np.nan, np.inf, "1", True)
        ),
    ],
)
def test_bad_settings_are_refused_by_name(kind, bad):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        kind(ParamsEvaluator(), **bad)


def test_an_optimizer_needs_an_evaluator_and_a_chance_to_mutate():
    for bad in (None, "xgboost", ParamsEvaluator):
        with pytest.raises(ConfigError, match="needs an Evaluator"):
            EAOptimizer(bad)
    with pytest.raises(ConfigError, match="At least one mutation probability"):
        EAOptimizer(
            ParamsEvaluator(), mutation_prob_width=0, mutation_prob_depth=0, mutation_prob_other=0
        )
    with pytest.raises(
        ConfigError, match="no hyperparameter whose mutation probability is above 0"
    ):
        EAOptimizer(ParamsEvaluator(), 1, 4, mutation_prob_width=0, mutation_prob_depth=0).run(
            ConfigSpace("digits"), 0
        )


def test_published_defaults():
    "AnalogNAS's own: 200 generations of 50, 0.8, 0.8, 0.6, one million parameters, ten points."
    ea = EAOptimizer(ParamsEvaluator())
    assert (ea.nb_iter, ea.population_size, ea.mutation_prob) == (
        200,
        50,
        {"width": 0.8, "depth": 0.8, "other": 0.6},
    )
    assert ea.constraints == Constraints(max_nb_param=1, T_AVM=10) and ea.budget == 50 * 201


def test_a_user_can_write_an_optimizer():
    class First(Optimizer):
        budget = 1

        def propose(self, history, rng):
            told = yield [history.space.sample_arch(rng)] * 3
            assert len(told) == 3 and told[0] is told[2]

    result = First(Counting()).run(ConfigSpace("digits"), 0)
    assert isinstance(result, SearchResult) and len(result.history) == 1


def test_settings_are_plain_data_and_say_everything():
    def small(config):
        return config["M"] < 3

    limits = Constraints(1, 2, {"tiles": 40}, True, small)
    said = json.loads(
        json.dumps(
            ea.RegularizedEvolution(
                Counting(), 70, 9, 4, 2, constraints=limits, k_std=1.5
            ).settings()
        )
    )
    assert {
        k: said[k]
        for k in ("nb_evaluations", "population_size", "sample_size", "batch_size", "k_std")
    } == {
        "nb_evaluations": 70,
        "population_size": 9,
        "sample_size": 4,
        "batch_size": 2,
        "k_std": 1.5,
    }
    assert said["constraints"] == {
        "max_nb_param": 1,
        "T_AVM": 2,
        "limits": {"tiles": 40},
        "inside": True,
        "allowed": "small",
        "chip": "hermes",
    }


# ---- limits on anything ---------------------------------------------------------------------------------------------


def middling(space, name):
    "A limit that half of all random architectures meet."
    return float(
        np.median(known_quantities(space, space.sample_arch_uniformly(400, 7), [name])[name])
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
        Constraints(inside=True, allowed=lambda c: c["convblock1"] == 2),
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
        0.4, 3, {"macs": 3e7, "latency": 5e-4, "std_1d": 0.5}, allowed=lambda c: c["M"] != 2
    )
    expected = (
        (stats["params"] <= 4e5)
        & (stats["macs"] <= 3e7)
        & (cost.latency <= 5e-4)
        & np.array([c["M"] != 2 for c in configs])
    )
    assert (limits.admits(space, configs) == expected).all() and 0 < expected.sum() < 80
    answers = Prediction(
        np.full(4, 90.0),
        np.array([2, 3, 4, 1.0]),
        np.array([0.5, 0.5, 0.1, 0.6]),
        np.zeros(4, bool),
    )
    assert limits.met_by(answers).tolist() == [True, True, False, False]
    assert limits.met_by(answers[0]).tolist() == [True]  # one answer, scalars
    assert limits.admits(space, []).shape == (0,)
    assert (
        limits.of(known=True).keys() | limits.of(known=False).keys()
        == {"params", "avm", "macs", "latency", "std_1d"}
        <= set(QUANTITIES)
    )


def test_a_limit_that_is_met_exactly_is_met():
    space = add_fidelity(ConfigSpace("digits"), 3)
    configs = space.sample_arch_uniformly(20, 0)
    for name in (q for q, about in QUANTITIES.items() if about.known):
        for config in configs[:5]:
            exact = float(known_quantities(space, [config], [name])[name][0])
            assert Constraints(limits={name: exact}).admits(space, [config])[0], name
            worse = np.nextafter(exact, np.inf if QUANTITIES[name].maximise else -np.inf)
            assert not Constraints(limits={name: worse}).admits(space, [config])[0], name


def test_k_std_prefers_chips_that_are_alike(labels, table):
    for k in (0.0, 2.0):
        search = Search(ea.EAOptimizer(table, 150, k_std=k), table.space, 0)
        while configs := search.ask():
            search.tell(table.query_pop(configs))
        result = search.result()
        score = result.history.acc_1d - k * result.history.std_1d
        assert (
            result.history.score.equals(score)
            and result.best.acc_1d - k * result.best.std_1d == score.max()
        )
        assert (labels.table.acc_1d - k * labels.table.std_1d).max() - score.max() < 1.5
    with pytest.raises(ConfigError, match="k_std must be a finite number at least 0"):
        ea.LocalSearch(table, k_std=-1)


# ---- searches that spend true evaluations ---------------------------------------------------------------------------


def test_the_oldest_dies():
    """Regularized evolution with one child at a time: every child is one step from one of the last
    `population_size` architectures."""
    space = ConfigSpace("digits")
    history = (
        ea.RegularizedEvolution(Counting(), 60, population_size=8, sample_size=3)
        .run(space, 0)
        .history
    )
    configs = history[space.get_hyperparameters()].to_dict("records")
    for i in range(8, 60):
        parents = [j for j in range(i - 8, i) if _one_step(space, configs[j], configs[i])]
        assert parents, i


def _one_step(space, parent, child):
    changed = {n for n in child if child[n] != parent[n]}
    return len(changed) == 1 or "M" in changed and abs(child["M"] - parent["M"]) == 1


def test_local_search_stops_at_peaks_only(table):
    "The best it found has been compared to all its neighbours."
    space = table.space
    seen = ea.LocalSearch(table, 400, nb_start=1, batch_size=1000).run(space, 0).history
    accuracy = {
        space.key(c): a for c, a in zip(seen[list(EDGE_NAMES)].to_dict("records"), seen.acc_1d)
    }
    best = max(accuracy, key=accuracy.get)
    near = [space.key(c) for c in space.neighbours(json.loads(best))]
    assert set(near) <= set(accuracy) and max(accuracy[k] for k in near) <= accuracy[best]


def test_children_of_two_parents():
    space, rng = ConfigSpace("digits"), np.random.default_rng(0)
    configs, taken = space.sample_arch_uniformly(60, 0), Counter()
    for a, b in zip(configs[::2], configs[1::2]):
        child = ea.crossover(space, a, b, rng)
        space.validate(child)
        assert child == space.canonical(child) and ea.crossover(space, a, a, rng) == a
        for n in space.get_hyperparameters():
            if space.is_active(n, child):  # from a parent that uses it
                assert child[n] in [p[n] for p in (a, b) if space.is_active(n, p)]
                taken["a" if child[n] == a[n] else "b"] += (
                    a[n] != b[n] and space.is_active(n, a) and space.is_active(n, b)
                )
    assert abs(taken["a"] / taken.total() - 0.5) < 5 * 0.5 / np.sqrt(taken.total())


def test_new_architectures_are_new_and_allowed():
    space, limits = ConfigSpace("digits"), Constraints(max_nb_param=0.3)
    history, rng = History(space, limits), np.random.default_rng(0)
    evaluator = Counting().bind(space)
    for n in (1, 7, 40):
        new = draw_new(history, n, rng)
        assert (
            len(new) == n
            and limits.admits(space, new).all()
            and not set(map(space.key, new)) & set(history.records)
        )
        history.add(new, evaluator.query_pop(new))
    assert draw_new(history, 0, rng) == [] and len(history) == 48
