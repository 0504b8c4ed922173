"""The helper that compares distributions accepts equal ones and finds a shift, a wider spread, another shape."""

import numpy as np
import pytest
from same_distribution import assert_same_distribution


def normal(seed: int, n: int = 5000) -> np.ndarray:
    "Return standard normal numbers."
    return np.random.default_rng(seed).normal(size=n)


@pytest.mark.parametrize("seed", range(20))
def test_assert_same_distribution_accepts_two_samples_of_one(seed):
    assert_same_distribution(normal(seed), normal(seed + 1000))


@pytest.mark.parametrize(
    "other",
    [
        normal(1) + 0.1,
        normal(1) * 1.3,
        np.sign(normal(1)),
        np.random.default_rng(1).uniform(-(3**0.5), 3**0.5, 5000),
    ],
    ids=["shift", "spread", "two values", "uniform"],
)
def test_assert_same_distribution_finds_a_difference(other):
    with pytest.raises(AssertionError, match="distributions differ"):
        assert_same_distribution(normal(0), other)


def test_assert_same_distribution_refuses_nan():
    with pytest.raises(AssertionError, match="second sample has NaN"):
        assert_same_distribution(normal(0), [np.nan])
