"""Means over the configs that describe one network, by hand."""

import numpy as np
import pytest

from analognas.search_spaces.network_features import SameNetworks


@pytest.mark.parametrize(
    "network, values, asked, means",
    [
        ([1, 0, 2], [1.0, 2.0, 4.0], [0, 1, 2, 1], [2.0, 1.0, 4.0, 1.0]),
        ([0, 0, 1, 1], [1.0, 3.0, 5.0, 9.0], [1, 0], [7.0, 2.0]),
        ([0, 1, 0, 0], [1.0, 8.0, 2.0, 6.0], [0, 1], [3.0, 8.0]),
    ],
)
def test_mean_is_over_the_configs_of_each_network(network, values, asked, means):
    same = SameNetworks({}, np.array(network), np.array(asked))
    found = same.mean(np.array([values, values]).T)
    np.testing.assert_array_equal(found, np.array([means, means]).T)
