"""Numbers that no machine can serve are refused by their size, with the value and what is allowed, before anything is built."""

from dataclasses import replace

import numpy as np
import pytest

from analognas.core import ConfigError, DatasetInfo, check_number
from analognas.core.errors import MAX_COUNT, shown
from analognas.evaluators.base_evaluator import ParamsEvaluator
from analognas.search_algorithms.ea_optimized import EAOptimizer
from analognas.search_algorithms.halving import MultiFidelityEvaluator, SuccessiveHalving
from analognas.search_algorithms.random_search import RandomSearch
from analognas.search_algorithms.registry import OPTIMIZERS, find_optimizer
from analognas.search_algorithms.worker import Worker
from analognas.search_spaces.config_space import ConfigSpace
from analognas.search_spaces.hyperparameter import Hyperparameter
from analognas.search_spaces.nasbench201 import NASBench201Space
from analognas.search_spaces.sample import latin_hypercube, sample_distinct
from analognas.training.plans import CollectionPlan
from analognas.training.protocol import Protocol

HUGE = (10**9, 2**63, 10**40, 10**5000)
SPACE = ConfigSpace("digits")
EVALUATOR = ParamsEvaluator()


@pytest.mark.parametrize("n", HUGE, ids=["1e9", "2**63", "1e40", "1e5000"])
@pytest.mark.parametrize(
    "ask",
    [
        lambda n: RandomSearch(EVALUATOR, n),
        lambda n: EAOptimizer(EVALUATOR, population_size=n),
        lambda n: EAOptimizer(EVALUATOR, nb_iter=n),
        lambda n: Worker(SPACE, RandomSearch(EVALUATOR, 10), runs=n),
        lambda n: SPACE.sample_arch_uniformly(n),
        lambda n: sample_distinct(SPACE, n),
        lambda n: latin_hypercube(SPACE, n),
        lambda n: CollectionPlan(n=n),
        lambda n: Protocol(n_rep=n),
        lambda n: Protocol(epochs=n),
        lambda n: Hyperparameter("x", "discrete", min_value=1, max_value=n),
        lambda n: Hyperparameter("x", "discrete", min_value=1, max_value=n, log=True),
        lambda n: Hyperparameter("x", "discrete", min_value=-n, max_value=n),
        lambda n: Hyperparameter("x", "continuous", min_value=0, max_value=1, step=1 / n),
        lambda n: ConfigSpace("digits").add_hyperparameter("x", "discrete", 0, n),
        lambda n: DatasetInfo("x", (1, n, 8), 10),
        lambda n: DatasetInfo("x", (1, 8, 8), n),
        lambda n: NASBench201Space(channels=n),
        lambda n: NASBench201Space(cells_per_stage=n),
    ],
)
def test_a_huge_count_is_refused_with_its_value(ask, n):
    with pytest.raises((ConfigError, ZeroDivisionError, OverflowError)) as refused:
        ask(n)
    if n == 10**9:
        assert isinstance(refused.value, ConfigError)
        assert any(text in str(refused.value) for text in ("1000000000", ",000,000,00", "1e-09"))


@pytest.mark.parametrize("name", sorted(set(OPTIMIZERS) - {"successive_halving"}))
def test_every_optimizer_refuses_huge_settings(name):
    kind = find_optimizer(name)
    for setting in ("population_size", "nb_iter", "nb_evaluations", "batch_size", "nb_start"):
        if setting in kind.__init__.__annotations__:
            with pytest.raises(ConfigError, match="1,000,000"):
                kind(EVALUATOR, **{setting: 10**9})


@pytest.mark.parametrize("setting", ["nb_start", "eta"])
def test_successive_halving_refuses_huge_settings(setting):
    with pytest.raises(ConfigError, match=setting):
        SuccessiveHalving(MultiFidelityEvaluator([EVALUATOR, EVALUATOR]), **{setting: 10**9})


def test_a_product_of_allowed_numbers_is_refused_where_it_is_too_large():
    optimizer = EAOptimizer(EVALUATOR, population_size=10_000, nb_iter=1000)
    with pytest.raises(ConfigError, match="10,010,000 evaluations are more than the 1,000,000"):
        optimizer.run(SPACE)
    with pytest.raises(ConfigError, match=r"100,000 run\(s\) of 20"):
        Worker(SPACE, RandomSearch(EVALUATOR, 20), runs=100_000)


def test_a_list_without_end_is_not_read_to_its_end():
    space = ConfigSpace("digits")
    with pytest.raises(ConfigError, match="at most 100,000"):
        space.add_hyperparameter_range("x", "discrete", range(10**12))
    with pytest.raises(ConfigError, match="at most 1,000"):
        space.add_hyperparameter_range("x", "categorical", range(10**12))


def wide_space(**ranges):
    space = ConfigSpace("digits")
    for name, values in ranges.items():
        space.remove_hyperparameter(name)
        space.add_hyperparameter_range(name, "discrete", values)
    return space


def test_counts_of_huge_networks_are_exact_or_refused():
    "2**62 is the most that a sum of 64-bit numbers is trusted with; Python's own do not wrap around."
    space = wide_space(out_channel0=[64, 10**9])
    config = space.sample_arch(0)
    with pytest.raises(ConfigError, match="multiply-accumulates"):
        space.stats([config | {"out_channel0": 10**9}])
    small = space.stats([config | {"out_channel0": 64}])
    assert small["macs"][0] > small["params"][0] > 0


def test_a_network_too_large_for_memory_is_refused_before_it_is_built():
    space = wide_space(out_channel0=[64, 20_000])
    config = dict.fromkeys(space.get_hyperparameters(), 0) | {
        "out_channel0": 20_000, "M": 1, "R1": 4, "convblock1": 1, "widenfact1": 0.5, "B1": 2
    }  # fmt: skip
    with pytest.raises(ConfigError, match=r"would have [\d,]+ parameters; at most 1,000,000,000"):
        space.build_network(config)


def test_a_network_of_too_many_layers_is_refused():
    space = wide_space(R1=[1, 50_000])
    config = dict.fromkeys(space.get_hyperparameters(), 0) | {
        "out_channel0": 8, "M": 1, "R1": 50_000, "convblock1": 1, "widenfact1": 0.8, "B1": 5
    }  # fmt: skip
    with pytest.raises(ConfigError, match=r"would have 500,\d+ layers; at most 100,000"):
        space.build_network(config)


def test_a_space_too_large_to_list_is_counted_exactly():
    space = ConfigSpace("digits", "custom")
    for i in range(334):
        space.add_hyperparameter(f"x{i}", "discrete", 1, 1_000)
    assert space.compute_cs_size() == 1_000**334
    assert "e1002 architectures" in repr(space) and "e1002" in space._repr_html_()


def test_a_message_shows_any_number_and_cuts_long_text():
    assert shown(10**5000) == f"a whole number of {(10**5000).bit_length()} bits"
    assert len(shown("x" * 10**6)) < 300
    with pytest.raises(ConfigError, match="bits"):
        check_number("n", 10**5000, low=1, integer=True)
    assert check_number("n", MAX_COUNT, low=1, integer=True) == MAX_COUNT
    assert check_number("seed", np.int64(5), low=0, high=2**64, integer=True) == 5


def test_a_plan_keeps_its_other_limits():
    with pytest.raises(ConfigError, match="repeats"):
        replace(CollectionPlan(n=5, repeats=2), repeats=6)
