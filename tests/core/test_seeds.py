"""Seeds against NumPy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analognas.core import ConfigError, as_rng, spawn_seeds


def test_as_rng_returns_a_generator_unchanged():
    rng = np.random.default_rng(0)
    assert as_rng(rng) is rng
    assert as_rng(3).random() == np.random.default_rng(3).random()
    assert as_rng(None).random() != as_rng(None).random()


@given(st.integers(0, 2**32), st.integers(0, 20), st.integers(0, 20))
def test_spawn_seeds_does_not_depend_on_the_number(seed, n, more):
    few, many = spawn_seeds(seed, n), spawn_seeds(seed, n + more)
    assert many[:n] == few and len(many) == n + more
    assert all(type(s) is int and 0 <= s < 2**32 for s in many)


def test_spawn_seeds_equals_numpys_spawned_sequences():
    assert spawn_seeds(5, 3) == [
        int(np.random.SeedSequence(5, spawn_key=(i,)).generate_state(1)[0]) for i in range(3)
    ]


def test_spawn_seeds_of_neighbouring_seeds_differ():
    assert not set(spawn_seeds(0, 500)) & set(spawn_seeds(1, 500))


@pytest.mark.parametrize("seed", [-1, 1.5, "3", True, 2**128, [1, 2]])
def test_what_is_no_seed_is_refused_by_its_value(seed):
    for draw in (as_rng, lambda s: spawn_seeds(s, 2)):
        with pytest.raises(ConfigError, match="seed must be a whole number at least 0"):
            draw(seed)


def test_numpys_numbers_and_the_largest_seed_are_seeds():
    assert as_rng(np.int64(3)).random() == as_rng(3).random()
    assert spawn_seeds(2**128 - 1, 1) != spawn_seeds(0, 1)
