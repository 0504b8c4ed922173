"""Candidates of searches with a model: every architecture of a small space, spread starts, the
stretched scale."""

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analognas.core import ConfigError
from analognas.search_algorithms.candidates import (
    Candidates,
    crossover,
    crossover_pair,
    enumerate_configs,
    initial_design,
    mutate,
    random_walk,
    standardise,
    warp_scores,
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


def test_enumerate_configs_is_what_brute_force_finds():
    space = nested()
    values = [h.values for h in space.hyperparameters]
    brute = {
        space.key(dict(zip(space.get_hyperparameters(), row))) for row in itertools.product(*values)
    }
    found = enumerate_configs(space)
    assert (
        len(found) == len(brute) == space.compute_cs_size()
        and {space.key(c) for c in found} == brute
    )
    assert found == [space.canonical(c) for c in found]


def test_large_spaces_and_continua_have_no_list():
    space = nested()
    assert enumerate_configs(space, at_most=space.compute_cs_size() - 1) is None
    space.add_hyperparameter("rate", "continuous", 0.0, 1.0)
    assert enumerate_configs(space) is None and enumerate_configs(ConfigSpace()) is None


@given(st.integers(1, 40), st.integers(0, 40), st.integers(0, 5), st.integers(0, 3))
def test_a_initial_design_is_n_different_rows(m, n, seed, kinds):
    X = np.random.default_rng(seed).integers(0, kinds + 1, (m, 3)).astype(float)  # many rows alike
    if n > m:
        with pytest.raises(ConfigError, match="n must be"):
            initial_design(X, n, np.random.default_rng(0))
    else:
        rows = initial_design(X, n, np.random.default_rng(0))
        assert len(rows) == len(set(rows.tolist())) == n and all(0 <= r < m for r in rows)


def test_a_initial_design_is_repeatable_and_leaves_the_global_generator_alone():
    X = np.random.default_rng(0).random((200, 5))
    before = np.random.get_state()[1].copy()  # noqa: NPY002 - the global generator must not matter
    first = initial_design(X, 10, np.random.default_rng(3))
    assert (first == initial_design(X, 10, np.random.default_rng(3))).all()
    after = np.random.get_state()[1]  # noqa: NPY002
    assert (before == after).all()


def test_a_initial_design_sees_every_distant_group():
    rng, centres = np.random.default_rng(0), np.eye(6) * 100
    X = np.concatenate(
        [c + rng.normal(0, 0.1, (n, 6)) for c, n in zip(centres, (500, 5, 5, 5, 5, 5))]
    )
    group = np.repeat(np.arange(6), (500, 5, 5, 5, 5, 5))
    assert set(group[initial_design(X, 6, np.random.default_rng(1))]) == set(range(6))


@given(st.lists(st.floats(0, 100), min_size=1, max_size=30))
def test_the_stretched_scale_keeps_the_order_and_ends_at_0(y):
    z = warp_scores(np.array(y))
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
        one = random_walk(space, start, rng, at_most=1)
        space.validate(one)
        assert one != start and one == space.canonical(one)
        assert (
            "M" in {n for n in one if one[n] != start[n]}
            or sum(one[n] != start[n] for n in one) == 1
        )
    lonely = ConfigSpace("digits", "custom")
    lonely.add_hyperparameter("only", "discrete", 1, 1)
    assert random_walk(lonely, {"only": 1}, rng) == {"only": 1}


def test_children_of_two_parents():
    space, rng = ConfigSpace("digits"), np.random.default_rng(0)
    configs, taken = space.sample_arch_uniformly(60, 0), Counter()
    for a, b in zip(configs[::2], configs[1::2]):
        child = crossover(space, a, b, rng)
        space.validate(child)
        assert child == space.canonical(child) and crossover(space, a, a, rng) == a
        for n in space.get_hyperparameters():
            if space.is_active(n, child):  # from a parent that uses it
                assert child[n] in [p[n] for p in (a, b) if space.is_active(n, p)]
                taken["a" if child[n] == a[n] else "b"] += (
                    a[n] != b[n] and space.is_active(n, a) and space.is_active(n, b)
                )
    assert abs(taken["a"] / taken.total() - 0.5) < 5 * 0.5 / np.sqrt(taken.total())


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


def test_children_are_valid_and_take_after_their_parents():
    space, rng = ConfigSpace("digits"), np.random.default_rng(0)
    parents = space.sample_arch_uniformly(100, 1)
    for a, b in zip(parents[::2], parents[1::2]):
        for child in crossover_pair(space, a, b, rng):
            space.validate(child)
            assert child == space.canonical(child) and child["M"] in (a["M"], b["M"])
    assert crossover_pair(space, a, a, rng) == (a, a)
