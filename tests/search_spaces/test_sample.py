"""Spread-out draws: the Latin property, distinctness, the cap, and giving up."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import nn

from analognas.core import ConfigError, InfeasibleError
from analognas.search_spaces.config_space import ConfigSpace
from analognas.search_spaces.nasbench201 import NASBench201Space
from analognas.search_spaces.sample import latin_hypercube, sample_distinct, sample_evenly


@given(st.lists(st.integers(1, 6), min_size=1, max_size=4), st.integers(1, 4), st.integers(0, 1000))
def test_every_value_appears_equally_often(sizes, times, seed):
    """If n is a multiple of the number of values, each appears exactly n / size times; otherwise,
    one more or less."""
    space = ConfigSpace("digits", "custom")
    for i, size in enumerate(sizes):
        space.add_hyperparameter(f"h{i}", "discrete", 1, size)
    n = int(np.lcm.reduce(sizes)) * times
    draws = latin_hypercube(space, n, seed)
    for i, size in enumerate(sizes):
        assert Counter(c[f"h{i}"] for c in draws) == dict.fromkeys(range(1, size + 1), n // size)
    for i, size in enumerate(sizes):
        counts = Counter(c[f"h{i}"] for c in latin_hypercube(space, n + 1, seed))
        assert all(abs(k - (n + 1) / size) < 2 for k in counts.values())


def test_a_log_scale_is_cut_into_equal_strips():
    space = ConfigSpace("digits", "custom")
    space.add_hyperparameter("lr", "continuous", 1e-4, 1.0, log=True)
    decades = Counter(int(np.floor(np.log10(c["lr"]))) for c in latin_hypercube(space, 40, 0))
    assert decades == {-4: 10, -3: 10, -2: 10, -1: 10}


def test_number_and_seed():
    space = ConfigSpace()
    assert latin_hypercube(space, 0) == []
    assert (
        latin_hypercube(space, 7, 3) == latin_hypercube(space, 7, 3) != latin_hypercube(space, 7, 4)
    )
    for bad in (-1, 2.5, None):
        with pytest.raises(ConfigError, match="n must be a whole number"):
            latin_hypercube(space, bad)


@pytest.mark.parametrize("method", ["latin_hypercube", "uniform"])
@pytest.mark.parametrize("cap", [None, 50_000])
def test_distinct_valid_small_and_repeatable(method, cap):
    space = ConfigSpace("digits")
    found = sample_distinct(space, 60, 1, cap, method=method)
    assert found == sample_distinct(space, 60, 1, cap, method=method)
    assert len(found) == len({space.key(c) for c in found}) == 60
    assert cap is None or space.stats(found)["params"].max() <= cap
    for c in found:
        space.validate(c)
        assert space.canonical(c) == c


@given(st.integers(1, 24))
@settings(max_examples=10)
def test_a_small_space_can_be_drawn_to_the_last_one(n):
    space = ConfigSpace("digits", "custom")
    space.add_hyperparameter("a", "discrete", 1, 4)
    space.add_hyperparameter_range("b", "categorical", "xyz", condition=("a", 3))
    space.add_hyperparameter("c", "discrete", 1, 3)
    size = space.compute_cs_size()
    if n <= size:
        assert len({space.key(c) for c in sample_distinct(space, n, 0)}) == n
    else:
        with pytest.raises(InfeasibleError, match=f"Found {size} of {n} different"):
            sample_distinct(space, n, 0, max_rounds=20)


def test_giving_up_takes_as_many_rounds_as_allowed():
    rounds = []

    class Counting(ConfigSpace):
        def stats(self, configs):
            rounds.append(len(configs))
            return super().stats(configs)

    with pytest.raises(
        InfeasibleError, match="Found 0 of 5 .* with at most 100 params in 4 rounds of 64 draws"
    ):
        sample_distinct(Counting("digits"), 5, 0, max_params=100, max_rounds=4)
    assert rounds == [64] * 4


def test_categories_too():
    space = NASBench201Space()
    found = latin_hypercube(space, 50, 0)
    assert all(
        Counter(c[name] for c in found) == dict.fromkeys(range(5), 10)
        for name in space.get_hyperparameters()
    )


@pytest.mark.parametrize("n", [-3, 1.5, "5", None])
def test_a_bad_number_is_refused(n):
    with pytest.raises(ConfigError, match="n must be a whole number"):
        sample_distinct(ConfigSpace("digits"), n, 0)


def test_none_are_none():
    assert sample_distinct(ConfigSpace("digits"), 0, 0) == []


def test_an_unknown_method_is_refused():
    with pytest.raises(ConfigError, match="Unknown sampling method 'sobol'"):
        sample_distinct(ConfigSpace("digits"), 3, 0, method="sobol")


def test_a_cap_that_cannot_be_checked_is_refused():
    space = ConfigSpace("digits", "custom", lambda config, *_: nn.Linear(config["width"], 1))
    space.add_hyperparameter("width", "discrete", 1, 9)
    with pytest.raises(ConfigError, match="Cannot cap macs: of this space only .*params"):
        sample_distinct(space, 3, 0, max_macs=1e6)


def test_multiply_accumulates_are_capped():
    space = ConfigSpace("digits")
    assert max(space.stats(sample_distinct(space, 20, 0, max_macs=3e5))["macs"]) <= 3e5


# ---- even over sizes ------------------------------------------------------------------------------------------------

KWS = ConfigSpace("KWS")
RANGE = dict(min_params=1_500, max_params=60_000)


@pytest.fixture(scope="module")
def even():
    return sample_evenly(KWS, 96, 0, **RANGE, max_macs=6e6)


def parameters(configs):
    "Counted on the networks themselves."
    return np.array([sum(p.numel() for p in KWS.build_network(c).parameters()) for c in configs])


def test_sizes_are_uniform_over_the_logarithm(even):
    """Kolmogorov-Smirnov against the uniform distribution; a low-discrepancy sequence is far closer
    than chance."""
    share = (np.log(parameters(even)) - np.log(1_500)) / (np.log(60_000) - np.log(1_500))
    for part in (12, 24, 48, 96):  # however far a collection gets
        assert stats.kstest(share[:part], "uniform").statistic < 1.5 / part**0.7


def test_evenly_drawn_ones_are_different_and_within_the_caps(even):
    assert len({KWS.key(c) for c in even}) == 96
    assert parameters(even).max() <= 60_000
    assert KWS.stats(even)["macs"].max() <= 6e6


def test_more_of_a_sample_only_adds_to_its_end(even):
    assert sample_evenly(KWS, 10, 0, **RANGE, max_macs=6e6) == even[:10]


def test_another_seed_is_another_sample(even):
    other = sample_evenly(KWS, 96, 1, **RANGE, max_macs=6e6)
    assert len({KWS.key(c) for c in other} & {KWS.key(c) for c in even}) < 48


def test_sizes_that_the_caps_leave_empty_are_named():
    with pytest.raises(
        InfeasibleError,
        match="No architecture of about .* parameters is left .* with 1,000,000 macs",
    ):
        sample_evenly(KWS, 20, 0, min_params=1e5, max_params=1e6, max_macs=1e6)
    with pytest.raises(ConfigError, match="max_params must be"):
        sample_evenly(KWS, 20, 0, min_params=1e5, max_params=1e4)


class Widths(ConfigSpace):
    "A space whose parameters and multiply-accumulates are its only hyperparameter."

    def stats(self, configs):
        widths = np.array([config["width"] for config in configs])
        return {"params": widths, "macs": widths}


def test_a_size_counts_as_met_within_28_percent():
    space = Widths("digits", "custom")
    space.add_hyperparameter_range("width", "discrete", [99, 128, 999])
    assert sample_evenly(space, 1, 0, min_params=110, max_params=110) == [{"width": 99}]
    for size in (180, 500):  # 180 is 41 % more than 128
        with pytest.raises(InfeasibleError, match=f"about {size} parameters"):
            sample_evenly(space, 1, 0, min_params=size, max_params=size)


def test_sizes_begin_at_a_thousand_parameters_unless_said_otherwise():
    space = Widths("digits", "custom")
    space.add_hyperparameter_range("width", "discrete", [1000, 1001, 100_000])
    assert sample_evenly(space, 1, 0, max_params=1000) == [{"width": 1000}]
