"""Candidates of searches with a model: every architecture of a small space, spread starts, the
stretched scale."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analognas.core import ConfigError
from analognas.search_algorithms.pool import (
    Candidates,
    every_config,
    spread_start,
    standardise,
    walk,
    warp,
)
from analognas.search_spaces.config_space import ConfigSpace
from analognas.search_spaces.nasbench201 import NASBench201Space


def nested():
    "A space in which two hyperparameters depend on a third, and one has no order."
    space = ConfigSpace("digits", "custom")
    space.add_hyperparameter("stages", "discrete", 1, 3)
    space.add_hyperparameter("width2", "discrete", 4, 6, condition=("stages", 2))
    space.add_hyperparameter("width3", "continuous", 0.1, 0.3, step=0.1, condition=("stages", 3))
    space.add_hyperparameter_range("kind", "categorical", ["a", "b"])
    return space


def test_every_config_is_what_brute_force_finds():
    space = nested()
    values = [h.values for h in space.hyperparameters]
    brute = {
        space.key(dict(zip(space.get_hyperparameters(), row))) for row in itertools.product(*values)
    }
    found = every_config(space)
    assert (
        len(found) == len(brute) == space.compute_cs_size()
        and {space.key(c) for c in found} == brute
    )
    assert found == [space.canonical(c) for c in found]


def test_large_spaces_and_continua_have_no_list():
    space = nested()
    assert every_config(space, at_most=space.compute_cs_size() - 1) is None
    space.add_hyperparameter("rate", "continuous", 0.0, 1.0)
    assert every_config(space) is None and every_config(ConfigSpace()) is None


@given(st.integers(1, 40), st.integers(0, 40), st.integers(0, 5), st.integers(0, 3))
def test_a_spread_start_is_n_different_rows(m, n, seed, kinds):
    X = np.random.default_rng(seed).integers(0, kinds + 1, (m, 3)).astype(float)  # many rows alike
    if n > m:
        with pytest.raises(ConfigError, match="n must be"):
            spread_start(X, n, np.random.default_rng(0))
    else:
        rows = spread_start(X, n, np.random.default_rng(0))
        assert len(rows) == len(set(rows.tolist())) == n and all(0 <= r < m for r in rows)


def test_a_spread_start_is_repeatable_and_leaves_the_global_generator_alone():
    X = np.random.default_rng(0).random((200, 5))
    before = np.random.get_state()[1].copy()  # noqa: NPY002 - the global generator must not matter
    first = spread_start(X, 10, np.random.default_rng(3))
    assert (first == spread_start(X, 10, np.random.default_rng(3))).all()
    after = np.random.get_state()[1]  # noqa: NPY002
    assert (before == after).all()


def test_a_spread_start_sees_every_distant_group():
    rng, centres = np.random.default_rng(0), np.eye(6) * 100
    X = np.concatenate(
        [c + rng.normal(0, 0.1, (n, 6)) for c, n in zip(centres, (500, 5, 5, 5, 5, 5))]
    )
    group = np.repeat(np.arange(6), (500, 5, 5, 5, 5, 5))
    assert set(group[spread_start(X, 6, np.random.default_rng(1))]) == set(range(6))


@given(st.lists(st.floats(0, 100), min_size=1, max_size=30))
def test_the_stretched_scale_keeps_the_order_and_ends_at_0(y):
    z = warp(np.array(y))
    assert z.max() == 0 and np.isfinite(z).all()
    assert (np.diff(z[np.argsort(y, kind="stable")]) >= 0).all()


def test_standardised_columns():
    X = np.random.default_rng(0).normal(5, 3, (100, 4)) * [1, 1, 0, 1e-3]
    Z = standardise(X)
    assert Z.shape == (100, 3) and np.allclose(Z.mean(0), 0) and np.allclose(Z.std(0), 1)
    assert np.allclose(standardise(X[:5], X), Z[:5])


@pytest.mark.parametrize("make", [NASBench201Space, nested, lambda: ConfigSpace("digits")])
def test_a_pool_is_valid_admitted_new_and_repeatable(make):
    space = make()
    seen = {space.key(c) for c in space.sample_arch_uniformly(5, 1)}
    name = space.get_hyperparameters()[0]
    middle = space[name].values[-1]
    pools = []
    for _ in range(2):
        rng = np.random.default_rng(5)
        pool = Candidates(
            space, rng, lambda configs: np.array([c[name] != middle for c in configs])
        )
        pools.append(pool.pool(rng, seen, best=space.sample_arch_uniformly(3, 2), n=200))
    configs, X = pools[0]
    keys = [space.key(c) for c in configs]
    assert (
        len(set(keys)) == len(keys) == len(X) > 0 and not seen & set(keys) and np.isfinite(X).all()
    )
    assert all(c[name] != middle for c in configs) and configs == [
        space.canonical(c) for c in configs
    ]
    assert pools[1][0] == configs and (pools[1][1] == X).all()
    assert np.allclose(pool.features(configs[:3]), X[:3])


def test_nothing_admitted_is_an_empty_pool():
    for space in (nested(), ConfigSpace("digits")):
        rng = np.random.default_rng(0)
        configs, X = Candidates(space, rng, lambda configs: np.zeros(len(configs), bool)).pool(rng)
        assert configs == [] and len(X) == 0


def test_a_walk_stays_near_and_valid():
    space, rng = ConfigSpace("digits"), np.random.default_rng(0)
    for start in space.sample_arch_uniformly(50, 3):
        one = walk(space, start, rng, at_most=1)
        space.validate(one)
        assert one != start and one == space.canonical(one)
        assert (
            "M" in {n for n in one if one[n] != start[n]}
            or sum(one[n] != start[n] for n in one) == 1
        )
    lonely = ConfigSpace("digits", "custom")
    lonely.add_hyperparameter("only", "discrete", 1, 1)
    assert walk(lonely, {"only": 1}, rng) == {"only": 1}
